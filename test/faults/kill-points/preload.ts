/**
 * Loaded into a node before its own modules: lists each change that the node makes in its state directory, and kills
 * the process with SIGKILL just before or just after one of them. `NEX_TEST_KILL_POINT` has the settings as JSON.
 */
import fs from "node:fs";
import promises, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { resolve, sep } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { KillPointSettings } from "./settings.ts";

type Call = (...args: never[]) => unknown;
type Table = Record<string, Call>;

const settings = JSON.parse(process.env["NEX_TEST_KILL_POINT"] ?? "{}") as KillPointSettings;
const root = resolve(settings.directory);
const log = fs.openSync(settings.log, "a+");
const writeLine = fs.writeSync;
/** How often each change was made, also by the processes before this one. */
const counts = new Map<string, number>();
for (const line of fs.readFileSync(settings.log, "utf8").split("\n")) countLine(line);
/** Paths of open files below the directory. */
const pathOfFd = new Map<number, string>();

function die(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function countLine(line: string): number {
  const occurrence = (counts.get(line) ?? 0) + 1;
  counts.set(line, occurrence);
  return occurrence;
}

/** A path without ids and digests. */
function normalized(path: string): string {
  return path.replace(
    /m[0-9a-f]{10}x\d+|[0-9a-v]{20}(?=\.json|$)|[0-9a-f]{64}|(?<=lock\.)[0-9a-f]{12}/g,
    "ID",
  );
}

/** Does something that is a point where the node may die. */
function atPoint<T>(name: string, path: string, act: () => T): T {
  const change = `${name} ${normalized(path.slice(root.length + 1))}`;
  const occurrence = countLine(change);
  writeLine(log, `${change}\n`);
  const { kill, slow } = settings;
  const dies = kill?.change === change && kill.occurrence === occurrence;
  if (dies && kill.moment === "before") die();
  const result = slow?.change === change ? (delay(slow.ms).then(act) as T) : act();
  if (!dies) return result;
  if (!(result instanceof Promise)) return die();
  return result.finally(die) as T;
}

/** The path that an argument names, if that is below the directory. */
function below(argument: unknown): string | undefined {
  if (typeof argument === "number") return pathOfFd.get(argument);
  if (typeof argument !== "string" && !Buffer.isBuffer(argument)) return undefined;
  const path = resolve(String(argument));
  return path === root || path.startsWith(root + sep) ? path : undefined;
}

/** Makes each call of these functions a point, if its first argument is below the directory. */
function countCalls(table: Table, names: readonly string[]): void {
  for (const name of names) {
    const original = table[name] as Call;
    table[name] = ((...args: never[]) => {
      const path = below(args[0]);
      const act = (): unknown => original.apply(table, args);
      return path === undefined ? act() : atPoint(name, path, act);
    }) as Call;
  }
}

/** Like {@link countCalls}, for functions with a callback as their last argument. */
function countCallbacks(table: Table, names: readonly string[]): void {
  for (const name of names) {
    const original = table[name] as Call;
    table[name] = ((...args: unknown[]) => {
      const path = below(args[0]);
      const callback = args.pop() as (...results: unknown[]) => void;
      const act = (): Promise<unknown[]> =>
        new Promise((settle) => {
          original.apply(table, [...args, (...results: unknown[]) => settle(results)] as never[]);
        });
      const results = path === undefined ? act() : atPoint(name, path, act);
      void results.then((found) => callback(...found));
    }) as Call;
  }
}

const isForWriting = (flags: unknown): boolean =>
  typeof flags === "string" ? /[wa+]/.test(flags) : ((flags as number | undefined) ?? 0) !== 0;

const handleChanges = ["write", "writeFile", "writev", "appendFile", "sync", "datasync", "truncate"] as const;

const openHandle = promises.open;
promises.open = async (path, flags, mode): Promise<FileHandle> => {
  const inside = below(path);
  const act = (): Promise<FileHandle> => openHandle(path, flags, mode);
  if (inside === undefined) return await act();
  const handle = await (isForWriting(flags) ? atPoint("open", inside, act) : act());
  const table = handle as unknown as Table;
  for (const name of handleChanges) {
    const original = table[name] as Call;
    table[name] = ((...args: never[]) => atPoint(name, inside, () => original.apply(handle, args))) as Call;
  }
  return handle;
};

// A file may also be there and still be empty.
promises.writeFile = async (path, data, options): Promise<void> => {
  const { flag = "w", mode = 0o666 } = (typeof options === "object" ? options : null) ?? {};
  await using handle = await promises.open(path as string, flag, mode);
  await handle.writeFile(data as string);
};

const openSync = fs.openSync;
fs.openSync = (path, flags, mode): number => {
  const inside = below(path);
  const act = (): number => openSync(path, flags, mode);
  if (inside === undefined) return act();
  const fd = isForWriting(flags) ? atPoint("openSync", inside, act) : act();
  pathOfFd.set(fd, inside);
  return fd;
};
const closeSync = fs.closeSync;
fs.closeSync = (fd): void => {
  pathOfFd.delete(fd);
  closeSync(fd);
};

const changes = ["rename", "rm", "unlink", "mkdir", "rmdir", "link", "symlink", "chmod", "copyFile", "cp"];
countCalls(promises as unknown as Table, changes);
countCalls(fs as unknown as Table, [
  ...changes.map((name) => `${name}Sync`),
  "writeSync",
  "fsyncSync",
  "fdatasyncSync",
]);
countCallbacks(fs as unknown as Table, ["write", "fsync", "fdatasync"]);
syncBuiltinESMExports();
