import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findProgram } from "../host/program.ts";

const probeTimeoutMs = 5_000;

/**
 * What is put before a command so that the kernel kills it when its parent dies, even by `kill -9`: `setpriv` of
 * util-linux, where this host has one that can. Without it only the end of its channels tells a machine.
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
