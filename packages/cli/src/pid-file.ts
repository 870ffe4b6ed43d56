/** The file in which a running node keeps the number of its process, when the configuration names one. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { isAlive } from "./processes.ts";

/**
 * Writes our number into the file; disposing of the result removes it.
 *
 * @throws NexError `state_locked` when the process in it lives, `file_not_found` when it can't be written
 */
export function claimPidFile(path: string): Disposable {
  const holder = readPid(path);
  if (holder !== undefined && holder !== process.pid && isAlive(holder)) {
    throw new NexError("state_locked", `Cannot start a node: node process already running; pid: ${holder}`, {
      advice: `End it first; if that process is no node, remove "${path}"`,
    });
  }
  try {
    rmSync(path, { force: true });
    writeFileSync(path, `${process.pid}\n`, { flag: "wx", mode: 0o644 });
  } catch (cause) {
    throw new NexError("file_not_found", `Cannot write the pid file "${path}": ${errorText(cause)}`, {
      cause,
    });
  }
  return {
    [Symbol.dispose]: () => {
      if (readPid(path) === process.pid) rmSync(path, { force: true });
    },
  };
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, "utf8").trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
