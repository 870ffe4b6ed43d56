/** Key files: a bare seed, readable by its owner alone. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  type NewKeyKind,
  type Signer,
  signerOfSeed,
} from "@nexengine/protocol";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { shellQuoted } from "./hints.ts";
import { nexHome } from "./home.ts";
import { note, visible } from "./output.ts";

/** Reads a file that the person named. @throws NexError `file_not_found` */
export function readNamedFile(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new NexError("file_not_found", `Cannot read ${what} "${path}": ${errorText(cause)}`, { cause });
  }
}

/** Writes a new key to a file that must not be there yet. @returns its public key. */
export function writeNewKey(path: string, kind: NewKeyKind): string {
  const { publicKey, seed } = createKey(kind);
  writeSecretFile(path, `${seed}\n`, "the key");
  return publicKey;
}

/** Writes a file for its owner alone, whole and on the disk or not at all. It must not be there yet. */
export function writeSecretFile(path: string, content: string, what: string): void {
  const unfinished = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    const fd = openSync(unfinished, "wx", 0o600);
    try {
      // Unlike `writeSync`, it goes on after a short write, which a nearly full disk makes.
      writeFileSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    // Unlike a rename, a link never takes the place of a file that is there.
    linkSync(unfinished, path);
    syncFolder(dirname(path));
  } catch (cause) {
    const exists = cause instanceof Error && "code" in cause && cause.code === "EEXIST";
    const reason = exists ? "there is a file of this name already" : errorText(cause);
    throw new NexError("key_invalid", `Cannot write ${what} "${path}": ${reason}`, { cause });
  } finally {
    rmSync(unfinished, { force: true });
  }
}

/** Puts the names of a folder's files on the disk; a file system that can't do that for a folder is left alone. */
function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } catch (error) {
    const isUnsupported = error instanceof Error && "code" in error && error.code === "EINVAL";
    if (!isUnsupported) throw error;
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads a file with a key that the person named.
 *
 * @throws NexError `file_not_found`, `key_invalid` for an empty one
 */
export function readKeyFile(path: string, what: string): string {
  const content = readNamedFile(path, what);
  if (content.trim() === "") {
    throw new NexError(
      "key_invalid",
      `Cannot use ${what} "${path}": the file is empty, as after a full disk`,
      {
        advice: `Put the key back, or remove the file and make a new key: rm ${shellQuoted(path)}`,
      },
    );
  }
  warnIfOthersRead(path, what);
  return content;
}

/** Warns about a file with a secret that others on this host may read. */
export function warnIfOthersRead(path: string, what: string): void {
  const { mode } = statSync(path);
  if ((mode & 0o077) === 0) return;
  note(
    visible(
      `Others on this host may read ${what} "${path}"; take that away with: chmod 600 ${shellQuoted(path)}`,
    ),
  );
}

/** The key that signs: a file that was named, or the person's own, made when it is missing. */
export function issuerKey(path?: string): Signer {
  const file = path ?? ownKey("issuer.nk", "account", "issuer account key");
  return signerOfSeed(readKeyFile(file, "the issuer key"), `the issuer key "${file}"`);
}

/** The key that seals: a file that was named, or the person's own, made when it is missing. */
export function publisherKey(path?: string): CurveKey {
  const file = path ?? ownKey("publisher.xk", "curve", "publisher xkey");
  return curveKeyOfSeed(readKeyFile(file, "the publisher xkey"), `the publisher xkey "${file}"`);
}

function ownKey(name: string, kind: NewKeyKind, what: string): string {
  const path = join(nexHome(), name);
  try {
    writeNewKey(path, kind);
    note(`Wrote new ${what}: ${path}`);
  } catch (error) {
    const cause = error instanceof NexError ? error.cause : undefined;
    if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST")) throw error;
  }
  return path;
}
