import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findProgram } from "../host/program.ts";

const probeTimeoutMs = 5_000;

/**
 * Finds a command prefix that makes the kernel kill a process when its parent dies, even by `kill -9`: `setpriv` of
 * util-linux, if installed. Without it, a machine notices only that its channels have closed.
 */
export async function findDeathPrefix(): Promise<readonly string[]> {
  const setpriv = process.platform === "linux" ? await findProgram("setpriv") : undefined;
  if (setpriv === undefined) return [];
  const prefix = [setpriv, "--pdeathsig", "KILL", "--"];
  try {
    await promisify(execFile)(setpriv, [...prefix.slice(1), setpriv, "--version"], {
      timeout: probeTimeoutMs,
      env: {},
    });
    return prefix;
  } catch {
    return [];
  }
}
