import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { actMs, within } from "@nexengine/testing/internal";
import { connectTo, latestEpoch, type OpenedChannels, openChannels } from "./attachment.ts";
import { epochHeader, HeaderFinder, newToken } from "./epoch-header.ts";

const never = new AbortController().signal;

/** The sockets of a QEMU whose guest is played by this test. */
class Guest implements AsyncDisposable {
  readonly directory: string;
  readonly token = newToken();
  readonly #servers: Server[] = [];
  readonly #sockets: Socket[] = [];

  constructor(directory: string) {
    this.directory = directory;
  }

  static async make(answer: (name: string, socket: Socket) => void): Promise<Guest> {
    const guest = new Guest(await mkdtemp(join(tmpdir(), "nex-ports-")));
    for (const name of ["frames", "calls"]) {
      const server = createServer((socket) => {
        guest.#sockets.push(socket.on("error", () => undefined));
        answer(name, socket);
      });
      await once(server.listen(join(guest.directory, name)), "listening");
      guest.#servers.push(server);
    }
    return guest;
  }

  open(epoch: number, signal: AbortSignal): ReturnType<typeof openChannels> {
    const { directory, token } = this;
    return openChannels(
      { directory, token, epoch, signal },
      (name) => connectTo(join(directory, name), signal),
      (channels) => channels.frames.begun,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) server.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function opened(opening: ReturnType<typeof openChannels>): Promise<OpenedChannels> {
  return (await within(opening, actMs, "both")) ?? assert.fail("the guest has hung up");
}

suite("openChannels of a microVM", { skip: process.platform !== "linux" }, () => {
  test("discards data of older epochs on both channels", async () => {
    await using guest = await Guest.make((name, socket) => {
      const wanted = new HeaderFinder(epochHeader(guest.token, 4));
      socket.write(Buffer.concat([Buffer.from("stale"), epochHeader(guest.token, 3), Buffer.from("older")]));
      socket.on("data", (chunk: Buffer) => {
        if (wanted.add(chunk) !== undefined)
          socket.write(Buffer.concat([epochHeader(guest.token, 4), Buffer.from(name)]));
      });
    });
    const { frames, calls } = await opened(guest.open(4, never));
    assert.equal(String((await once(frames, "data"))[0]), "frames");
    assert.equal(String((await once(calls, "data"))[0]), "calls");
    assert.equal(await latestEpoch(guest.directory), 4);
    frames.destroy();
    calls.destroy();
  });

  test("repeats its header until the guest is there", async () => {
    let heard = 0;
    await using guest = await Guest.make((name, socket) => {
      socket.on("data", (chunk: Buffer) => {
        heard += name === "frames" ? chunk.length : 0;
        if (heard >= 72) socket.write(epochHeader(guest.token, 1));
      });
    });
    const { frames, calls } = await opened(guest.open(1, never));
    frames.destroy();
    calls.destroy();
  });

  test("fails when the signal aborts and when the machine hangs up", async () => {
    await using silent = await Guest.make(() => undefined);
    const gone = new AbortController();
    const opening = silent.open(1, gone.signal);
    gone.abort("a later epoch has started");
    await assert.rejects(within(opening, actMs, "the attach"), {
      code: "attach_failed",
      message: /a later epoch/,
    });
    await using ended = await Guest.make((_, socket) => socket.end());
    const hungUp = ended.open(1, never);
    assert.equal(await within(hungUp, actMs, "the attach"), undefined);
  });
});
