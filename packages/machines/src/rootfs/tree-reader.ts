/** Reads the entries of a written tree or an ext4 image. */
import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { runExt4Tool } from "./ext4.ts";
import { findImageTool } from "./image-file.ts";

/** An entry of a tree. */
export interface TreeEntry {
  kind: "file" | "directory" | "link" | "other";
  /** Permissions. */
  mode: number;
  bytes: number;
  /** User and group; absent if the owner on this host is irrelevant. */
  owner?: string;
}

/** A rootfs in any format. */
export interface TreeReader {
  /** Lists the entries of a directory. */
  list(place: string): Promise<Map<string, TreeEntry>>;
  read(place: string): Readable;
  /** Reads the target of a link. */
  readLink(place: string): Promise<string>;
}

const typeMask = 0o170000;
const kinds = new Map<number, TreeEntry["kind"]>([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o120000, "link"],
]);
const readTimeoutMs = 60_000;
const linkBytesMax = 4_096;

/** A tree that is a directory on this host. */
export function directoryReader(root: string): TreeReader {
  return {
    async list(place) {
      const entries = new Map<string, TreeEntry>();
      for (const name of await readdir(join(root, place))) {
        const { mode, size } = await lstat(join(root, place, name));
        entries.set(name, entryOf(mode, size));
      }
      return entries;
    },
    read: (place) => createReadStream(join(root, place)),
    readLink: (place) => readlink(join(root, place)),
  };
}

/**
 * A tree in an ext4 image. The file system is checked first.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function ext4Reader(image: string): Promise<TreeReader> {
  const action = `Cannot read the image "${image}"`;
  const [debugfs, check] = await Promise.all([findImageTool("debugfs"), findImageTool("e2fsck")]);
  await runExt4Tool(check, ["-fn", image], `${action}: its file system is damaged`);
  return {
    async list(place) {
      const { stdout } = await runExt4Tool(debugfs, ["-R", `ls -p "${place}"`, image], action);
      const entries = new Map<string, TreeEntry>();
      for (const line of stdout.split("\n")) {
        const [, inode, mode, uid, gid, name = "", bytes] = line.split("/");
        if (inode === undefined || inode === "0" || name === "." || name === ".." || name === "") continue;
        const entry = entryOf(Number.parseInt(mode ?? "", 8), Number(bytes));
        entries.set(name, { ...entry, owner: `${uid}:${gid}` });
      }
      return entries;
    },
    read: (place) => outputOf(debugfs, ["-R", `cat "${place}"`, image]),
    async readLink(place) {
      const { stdout } = await runExt4Tool(debugfs, ["-R", `stat "${place}"`, image], action);
      const short = /^Fast link dest: "(.*)"$/m.exec(stdout)?.[1];
      return short ?? (await textOf(outputOf(debugfs, ["-R", `cat "${place}"`, image])));
    },
  };
}

/** Streams the output of a program; reading fails if the program fails. */
export function outputOf(program: string, args: string[]): Readable {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: readTimeoutMs,
    env: { LC_ALL: "C" },
  });
  child.once("error", (error) => child.stdout.destroy(error));
  return child.stdout;
}

async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > linkBytesMax) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Creates an entry from `st_mode`. */
export function entryOf(mode: number, bytes: number): TreeEntry {
  return { kind: kinds.get(mode & typeMask) ?? "other", mode: mode & 0o7777, bytes };
}
