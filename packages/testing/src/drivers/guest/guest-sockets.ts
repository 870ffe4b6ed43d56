/**
 * Channels of the test guest in a Firecracker microVM, with `--channels=sockets:<directory>`. It inherits one
 * listening socket for frames and one for calls. For each epoch the host connects to both, calls first, and starts
 * the epoch with a header as on serial ports. A real agent does the same.
 */
import { readSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type GuestChannels, markOf, readToken } from "./guest-marks.ts";
import { epochsOf } from "./guest-ports.ts";
import { type PipeHandle, pipeOf, streamOf } from "./pipe.ts";
import { writeAll } from "./write-all.ts";

const framesFd = 3;
const callsFd = 4;
const backlog = 8;
const pollMs = 2;
const callsTimeoutMs = 5_000;

/** Yields one epoch after another until the node is lost. */
export async function* socketSessions(
  directory: string,
  nodeLostTimeoutMs: number,
): AsyncGenerator<GuestChannels> {
  const frames: PipeHandle[] = [];
  accept(framesFd, (handle) => frames.push(handle));
  const calls: CallChannel[] = [];
  accept(callsFd, (handle) => calls.push(new CallChannel(handle)));
  let deadline = performance.now() + nodeLostTimeoutMs;
  while (performance.now() < deadline) {
    const connection = frames.splice(0).pop();
    if (connection === undefined) {
      await delay(pollMs);
      continue;
    }
    const port = streamOf(connection);
    // A copy has its token only after it has become an independent machine.
    for await (const { epoch, frames: stream } of epochsOf(port, () => readToken(directory))) {
      const token = readToken(directory);
      port.write(markOf(token, epoch));
      const line = await beginCalls(calls, markOf(token, epoch), () => frames.length > 0);
      yield {
        frames: stream,
        attach: () => undefined,
        call: (request, answerBytes) => line.call(request, answerBytes),
      };
      line.close();
      deadline = performance.now() + nodeLostTimeoutMs;
    }
  }
}

/** Passes each connection of a listening socket to `take`. */
function accept(fd: number, take: (connection: PipeHandle) => void): void {
  const server = pipeOf("SERVER", fd);
  server.onconnection = (status, handle) => {
    if (status === 0 && handle !== undefined) take(handle);
  };
  server.listen(backlog);
}

/**
 * Takes the connection that starts with this header. Connections of earlier epochs are closed; those of later epochs
 * are kept.
 */
async function beginCalls(lines: CallChannel[], mark: Buffer, isOver: () => boolean): Promise<CallChannel> {
  const deadline = performance.now() + callsTimeoutMs;
  do {
    for (const line of lines.splice(0)) {
      if (line.begin(mark)) return line;
      if (!line.ended) lines.push(line);
    }
    await delay(pollMs);
  } while (performance.now() < deadline && !isOver());
  return new CallChannel(undefined);
}

/** Blocking calls over a connection. */
class CallChannel {
  #handle: PipeHandle | undefined;
  #mark: Buffer | undefined;

  constructor(handle: PipeHandle | undefined) {
    this.#handle = handle;
    handle?.setBlocking(true);
  }

  get ended(): boolean {
    return this.#handle === undefined;
  }

  begin(mark: Buffer): boolean {
    this.#mark ??= this.#read(mark.length);
    if (this.#mark.length < mark.length) this.close();
    if (this.#handle === undefined || !this.#mark.equals(mark)) return false;
    try {
      writeAll(this.#handle.fd, mark);
      return true;
    } catch {
      // The kernel has closed it meanwhile.
      this.close();
      return false;
    }
  }

  /** Waits for an answer and the end byte. Returns fewer bytes if the node is gone. */
  call(request: Buffer, answerBytes: number): Buffer {
    try {
      if (this.#handle !== undefined) writeAll(this.#handle.fd, request);
    } catch {
      return Buffer.alloc(0);
    }
    return this.#read(answerBytes + 1).subarray(0, answerBytes);
  }

  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
  }

  #read(count: number): Buffer {
    const bytes = Buffer.alloc(count);
    let received = 0;
    try {
      while (this.#handle !== undefined && received < count) {
        const more = readSync(this.#handle.fd, bytes, received, count - received, null);
        if (more === 0) break;
        received += more;
      }
    } catch {
      // The node is gone.
    }
    return bytes.subarray(0, received);
  }
}
