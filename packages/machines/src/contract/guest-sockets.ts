/**
 * How the test guest takes its channels from a host that connects, with `--channels=sockets:<directory>`: it has
 * inherited a listening socket for frames and one for calls. The host connects to both for each epoch, calls first, and
 * begins it by a mark, as on serial ports. A real agent does the same.
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

/** One epoch after the other, until the node stays away. */
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
    // The token of a copy is there when it has become a machine of its own.
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

/** Hands over what is connected to a listening socket. */
function accept(fd: number, take: (connection: PipeHandle) => void): void {
  const server = pipeOf("SERVER", fd);
  server.onconnection = (status, handle) => {
    if (status === 0 && handle !== undefined) take(handle);
  };
  server.listen(backlog);
}

/**
 * Takes the connection that begins with this mark: one that is there may be of an earlier epoch, which has ended, or
 * already of a later one, which stays.
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
      // The kernel has ended it meanwhile.
      this.close();
      return false;
    }
  }

  /** Waits for an answer and the byte after it; fewer bytes when the node has gone. */
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
      // The node has gone.
    }
    return bytes.subarray(0, received);
  }
}
