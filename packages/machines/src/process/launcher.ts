/** Finds a program that has the kernel kill a machine with its node. */
import { findProgram } from "../host/program.ts";
import { runProgram } from "../host/run-program.ts";

const probeTimeoutMs = 5_000;

/**
 * Finds a command prefix that makes the kernel kill a process when its parent dies, even by `kill -9`: `setpriv` of
 * util-linux, if installed. Without it, a machine notices only that its channels have closed.
 */
export async function findDeathPrefix(): Promise<readonly string[]> {
  const setpriv = process.platform === "linux" ? await findProgram("setpriv") : undefined;
  if (setpriv === undefined) return [];
  const prefix = [setpriv, "--pdeathsig", "KILL", "--"];
  const args = [...prefix.slice(1), setpriv, "--version"];
  return (await runProgram(setpriv, args, { timeoutMs: probeTimeoutMs })).failure === undefined ? prefix : [];
}
