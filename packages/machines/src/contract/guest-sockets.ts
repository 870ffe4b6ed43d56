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
  const frames = accepted(framesFd);
  const calls = accepted(callsFd);
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
      const line = await beginCalls(calls, markOf(token, epoch));
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

/** What has been connected to a listening socket and not yet been taken. */
function accepted(fd: number): PipeHandle[] {
  const connections: PipeHandle[] = [];
  const server = pipeOf("SERVER", fd);
  server.onconnection = (status, handle) => {
    if (status === 0 && handle !== undefined) connections.push(handle);
  };
  server.listen(backlog);
  return connections;
}

/** Takes the connection that begins with this mark: one that is there may be of an earlier epoch. */
async function beginCalls(connections: PipeHandle[], mark: Buffer): Promise<CallLine> {
  const deadline = performance.now() + callsTimeoutMs;
  do {
    for (const handle of connections.splice(0)) {
      const line = new CallLine(handle);
      if (line.begin(mark)) return line;
      line.close();
    }
    await delay(pollMs);
  } while (performance.now() < deadline);
  return new CallLine(undefined);
}

/** Blocking calls over a connection. */
class CallLine {
  #handle: PipeHandle | undefined;

  constructor(handle: PipeHandle | undefined) {
    this.#handle = handle;
    handle?.setBlocking(true);
  }

  begin(mark: Buffer): boolean {
    if (this.#handle === undefined || !this.#read(mark.length).equals(mark)) return false;
    try {
      writeAll(this.#handle.fd, mark);
      return true;
    } catch {
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
