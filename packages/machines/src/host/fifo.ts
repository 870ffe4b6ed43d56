/** Makes and opens FIFOs. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { MachineError } from "../errors.ts";
import { runProgram } from "./run-program.ts";

const makeTimeoutMs = 5_000;

/** Creates FIFOs with exactly this mode. Fails if a path already exists. */
export async function makeFifos(paths: readonly string[], mode: number): Promise<void> {
  const args = ["-m", mode.toString(8), "--", ...paths];
  const { failure } = await runProgram("mkfifo", args, { timeoutMs: makeTimeoutMs });
  if (failure !== undefined) throw new MachineError("boot_failed", `Cannot make FIFOs: ${failure}`);
}

/**
 * Opens a FIFO without waiting for its other end. A FIFO for writing is also opened for reading, because the kernel
 * refuses a nonblocking writer without a reader.
 *
 * @returns its descriptor.
 * @throws MachineError `attach_failed` if the path is something else, such as a link.
 */
export function openFifo(path: string, use: "read" | "write"): number {
  const access = use === "read" ? constants.O_RDONLY : constants.O_RDWR;
  const refuse = (cause?: unknown): never => {
    throw new MachineError("attach_failed", `Cannot open "${path}" as a FIFO`, { cause });
  };
  let fd: number;
  try {
    fd = openSync(path, access | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    return refuse(error);
  }
  if (fstatSync(fd).isFIFO()) return fd;
  closeSync(fd);
  return refuse();
}
