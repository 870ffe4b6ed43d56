/** Makes and opens FIFOs. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { MachineError } from "../errors.ts";
import { runProgram } from "./run-program.ts";

const makeTimeoutMs = 5_000;
/** Maximum number of callers whose FIFOs are made by one process. */
const callersMax = 64;

/** FIFOs that a caller waits for. */
interface Wanted {
  readonly paths: readonly string[];
  readonly made: PromiseWithResolvers<void>;
}

/** FIFOs asked for in this turn, by their mode. */
const wantedNow = new Map<number, Wanted[]>();

/**
 * Creates FIFOs with exactly this mode. Those that are asked for in one turn of the loop are made by one process, because
 * starting one takes the thread of the node for milliseconds.
 *
 * @throws MachineError `boot_failed`, also if a path already exists
 */
export async function makeFifos(paths: readonly string[], mode: number): Promise<void> {
  const wanted: Wanted = { paths, made: Promise.withResolvers() };
  const others = wantedNow.get(mode);
  if (others !== undefined && others.length < callersMax) others.push(wanted);
  else {
    const together = [wanted];
    wantedNow.set(mode, together);
    setImmediate(() => {
      if (wantedNow.get(mode) === together) wantedNow.delete(mode);
      void makeTogether(together, mode);
    });
  }
  await wanted.made.promise;
}

async function makeTogether(together: readonly Wanted[], mode: number): Promise<void> {
  const all = together.flatMap(({ paths }) => paths);
  const args = ["-m", mode.toString(8), "--", ...all];
  const { failure, complaint } = await runProgram("mkfifo", args, { timeoutMs: makeTimeoutMs });
  for (const { paths, made } of together) {
    // The program makes those that it can, and names the others.
    const isFailed = complaint === "" || paths.some((path) => complaint.includes(path));
    if (failure === undefined || !isFailed) made.resolve();
    else made.reject(new MachineError("boot_failed", `Cannot make FIFOs: ${failure}`));
  }
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
