/** Reads the entries of a squashfs image. */
import { dirname } from "node:path/posix";
import { findImageTool, runImageTool } from "./image-file.ts";
import { entryOf, outputOf, type TreeEntry, type TreeReader } from "./tree-reader.ts";

const types: Readonly<Record<string, number>> = { "-": 0o100000, d: 0o040000, l: 0o120000 };
/** A line in `ls -l` format: permissions, owner and group, size, date, time and path. */
const line = /^([-a-z])([-a-zA-Z]{9}) (\d+)\/(\d+) +(\d+) \d{4}-\d\d-\d\d \d\d:\d\d \/(.+)$/;
const arrow = " -> ";

/**
 * A tree in a squashfs image.
 *
 * @throws MachineError `rootfs_failed`
 */
export async function squashfsReader(image: string): Promise<TreeReader> {
  const action = `Cannot read the image "${image}": its file system is damaged`;
  const program = await findImageTool("unsquashfs");
  const { stdout } = await runImageTool(program, ["-lln", "-d", "", image], action);
  const { directories, targets } = parseList(stdout);
  return {
    list: (place) => Promise.resolve(directories.get(place) ?? new Map<string, TreeEntry>()),
    read: (place) => outputOf(program, ["-no-progress", "-no-wildcards", "-cat", image, place]),
    readLink: (place) => Promise.resolve(targets.get(place) ?? ""),
  };
}

/** Parses the output of `unsquashfs -lln`. */
function parseList(list: string): {
  directories: Map<string, Map<string, TreeEntry>>;
  targets: Map<string, string>;
} {
  const directories = new Map<string, Map<string, TreeEntry>>();
  const targets = new Map<string, string>();
  for (const text of list.split("\n")) {
    const [, type = "", permissions = "", uid, gid, bytes, shown] = line.exec(text) ?? [];
    if (shown === undefined) continue;
    const [name = "", ...target] = type === "l" ? shown.split(arrow) : [shown];
    const place = `/${name}`;
    if (type === "l") targets.set(place, target.join(arrow));
    const entries = directories.get(dirname(place)) ?? new Map<string, TreeEntry>();
    directories.set(dirname(place), entries);
    const mode = (types[type] ?? 0) | modeOf(permissions);
    entries.set(name.slice(name.lastIndexOf("/") + 1), {
      ...entryOf(mode, Number(bytes)),
      owner: `${uid}:${gid}`,
    });
  }
  return { directories, targets };
}

/** Permissions such as `rwxr-xr-t`. The last character of each triple also shows the special bit. */
function modeOf(permissions: string): number {
  let mode = 0;
  for (const [at, sign] of [...permissions].entries()) {
    const bit = 0o400 >> at;
    if (sign !== "-" && sign !== "S" && sign !== "T") mode |= bit;
    if (/[sStT]/.test(sign)) mode |= 0o4000 >> Math.floor(at / 3);
  }
  return mode;
}
