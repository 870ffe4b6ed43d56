import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { openChannels } from "./channels.ts";

const longMs = 60_000;

/** The directory in which an agent looks for its node, and the node's end of it. */
class Place implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nex-channels-"));
  #server: Server | undefined;
  readonly #sockets: Socket[] = [];

  get kind(): string {
    return `connect:${this.directory}`;
  }

  /** The node begins to listen. @param serve What it does with a connection. */
  async listen(serve: (socket: Socket) => void): Promise<void> {
    this.#server = createServer((socket) => {
      this.#sockets.push(socket);
      socket.on("error", () => undefined);
      serve(socket);
    });
    this.#server.listen(join(this.directory, "frames.sock"));
    await once(this.#server, "listening");
  }

  /** The node ends, and its connections with it. */
  async end(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets.splice(0)) socket.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, "close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Reads a channel to its end. @returns what came. */
async function read(frames: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  frames.on("data", (chunk: Buffer) => chunks.push(chunk));
  frames.on("error", () => undefined);
  await once(frames, "close");
  return Buffer.concat(chunks).toString();
}

test("openChannels refuses a kind that it does not know", () => {
  for (const kind of ["", "connect:", "connect", "udp:/x", "fd:3"]) {
    assert.throws(() => openChannels(kind, { nodeLostTimeoutMs: longMs }), { code: "usage" }, kind);
  }
});

test("openChannels looks for a node until one listens", async () => {
  await using place = new Place();
  const frames = openChannels(place.kind, { nodeLostTimeoutMs: longMs }).frames[Symbol.asyncIterator]();
  const first = frames.next();
  await new Promise((resolve) => setTimeout(resolve, 30));
  await place.listen((socket) => socket.end("hello"));
  const { value } = await first;
  assert.equal(await read(value), "hello");
  await frames.return?.();
});

test("openChannels connects anew whenever a connection has ended, with what comes at once", async () => {
  await using place = new Place();
  let count = 0;
  await place.listen((socket) => socket.end(`node ${++count}`));
  const said: string[] = [];
  for await (const frames of openChannels(place.kind, { nodeLostTimeoutMs: longMs }).frames) {
    said.push(await read(frames));
    if (said.length === 3) break;
  }
  assert.deepEqual(said, ["node 1", "node 2", "node 3"]);
});

test("openChannels gives up when no node has come within the limit, and not before", async () => {
  await using place = new Place();
  const startedAt = performance.now();
  for await (const _ of openChannels(place.kind, { nodeLostTimeoutMs: 200 }).frames)
    assert.fail("nobody listens");
  assert.ok(performance.now() - startedAt >= 200);
});

test("openChannels begins to count anew after a node that has spoken", async () => {
  await using place = new Place();
  const limitMs = 300;
  await place.listen((socket) => setTimeout(() => socket.end("x"), limitMs + 50));
  let endedAt = 0;
  for await (const frames of openChannels(place.kind, { nodeLostTimeoutMs: limitMs }).frames) {
    assert.equal(await read(frames), "x");
    endedAt = performance.now();
    await place.end();
  }
  assert.ok(endedAt > 0);
  assert.ok(performance.now() - endedAt >= limitMs);
});

test("openChannels does not count a connection on which nobody spoke", async () => {
  await using place = new Place();
  let connections = 0;
  await place.listen((socket) => {
    connections++;
    socket.destroy();
  });
  for await (const frames of openChannels(place.kind, { nodeLostTimeoutMs: 200 }).frames)
    assert.equal(await read(frames), "");
  assert.ok(connections > 1, "it went on trying");
});
