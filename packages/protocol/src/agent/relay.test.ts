import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import type { NexError } from "../errors.ts";
import { FrameConnection, type Holding } from "./frame-connection.ts";
import { FrameType } from "./frames.ts";
import { breakOff, Relay, relayStreamsMax, relayWindowBytes } from "./relay.ts";

/** Waits for a condition, bounded by the test runner's time limit. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

/** Settles when a socket is closed, with or without an error. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** A budget with a limit, in addition to the limit per channel. */
class Bounded implements Holding {
  max: number;
  used = 0;

  constructor(max: number) {
    this.max = max;
  }

  take(amount: number): boolean {
    if (this.used + amount > this.max) return false;
    this.used += amount;
    return true;
  }

  count(amount: number): void {
    this.used += amount;
  }

  give(amount: number): void {
    this.used -= amount;
    assert.ok(this.used >= 0, "more was released than reserved");
  }
}

/** A listener in the machine, a server outside, and the channel between their relays. */
class Bridge implements AsyncDisposable {
  readonly stack = new AsyncDisposableStack();
  readonly errors: (NexError | undefined)[] = [];
  agent!: Relay;
  node!: Relay;
  readonly streams = new Bounded(relayStreamsMax);
  readonly waiting = new Bounded(Number.POSITIVE_INFINITY);
  nodeConnection!: FrameConnection;
  agentConnection!: FrameConnection;
  agentStream!: Socket;
  #path = "";
  accepted = 0;

  /** @param serve Handler of the server outside for each connection. */
  static async make(serve: (socket: Socket) => void): Promise<Bridge> {
    const bridge = new Bridge();
    const directory = await mkdtemp(join(tmpdir(), "nex-relay-"));
    bridge.stack.defer(() => rm(directory, { recursive: true, force: true }));
    const outside = await bridge.#listen(join(directory, "outside"), serve);
    const channel = await bridge.#listen(join(directory, "channel"), () => undefined);
    const arrived = once(channel, "connection");
    bridge.agentStream = connect(join(directory, "channel"));
    const [nodeStream] = (await arrived) as [Socket];
    bridge.stack.defer(() => {
      bridge.agentStream.destroy();
      nodeStream.destroy();
    });
    bridge.#relays(nodeStream, (target) => {
      if (target !== 0) return undefined;
      bridge.accepted++;
      return connect({ path: String(outside.address()), allowHalfOpen: true });
    });
    bridge.#path = join(directory, "inside");
    await bridge.#listen(bridge.#path, (socket) => bridge.agent.carry(socket, 0));
    return bridge;
  }

  #relays(nodeStream: Socket, accept: (target: number) => Socket | undefined): void {
    this.nodeConnection = new FrameConnection(nodeStream, {
      frame: (type, _, id, payload) => void this.node.take(type, id, payload),
      end: (error) => {
        this.errors.push(error);
        this.node.close();
      },
      drain: () => this.node.drained(),
    });
    this.agentConnection = new FrameConnection(this.agentStream, {
      frame: (type, _, id, payload) => void this.agent.take(type, id, payload),
      end: () => this.agent.close(),
      drain: () => this.agent.drained(),
    });
    const abort = (socket: Duplex): void => void socket.destroy();
    const { streams, waiting } = this;
    this.node = new Relay(this.nodeConnection, { side: "node", accept, abort, streams, waiting });
    this.agent = new Relay(this.agentConnection, { side: "agent", accept: () => undefined, abort });
  }

  async #listen(path: string, serve: (socket: Socket) => void): Promise<Server> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      serve(socket);
    });
    server.listen(path);
    await once(server, "listening");
    this.stack.defer(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return server;
  }

  /** Connects as a workload does. */
  dial(): Socket {
    const socket = connect({ path: this.#path, allowHalfOpen: true });
    socket.on("error", () => undefined);
    this.stack.defer(() => void socket.destroy());
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}

const echo = (socket: Socket): void => void socket.pipe(socket);
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Waits for a condition that depends on the other ends. */
async function holds(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("Relay carries megabytes both ways, over a half-closed connection", async () => {
  await using bridge = await Bridge.make(echo);
  const sent = randomBytes(5_000_000);
  const socket = bridge.dial();
  const received = buffer(socket);
  socket.end(sent);
  assert.equal(digest(await received), digest(sent));
  await holds(() => bridge.agent.streamCount + bridge.node.streamCount === 0, "the stream stays open");
  assert.deepEqual(bridge.errors, []);
});

test("Relay carries many connections at once", async () => {
  await using bridge = await Bridge.make(echo);
  const replies = Array.from({ length: 500 }, async (_, at) => {
    const socket = bridge.dial();
    socket.end(`connection ${at}`);
    return (await buffer(socket)).toString();
  });
  assert.deepEqual(
    await Promise.all(replies),
    Array.from({ length: 500 }, (_, at) => `connection ${at}`),
  );
});

test("Relay blocks only the stream of a slow reader, and buffers at most one window", async () => {
  await using bridge = await Bridge.make((socket) => {
    socket.once("data", (first: Buffer) => {
      if (first.toString() === "flood") socket.end(Buffer.alloc(20_000_000, 1));
      else socket.end(first);
    });
  });
  const slow = bridge.dial();
  slow.pause();
  slow.write("flood");
  await holds(() => bridge.accepted === 1, "the flood does not start");
  const quick = bridge.dial();
  quick.write("quick");
  assert.equal((await buffer(quick)).toString(), "quick");
  // The relay buffers a bounded part of the flood; the rest waits at its source.
  assert.ok(slow.bytesRead < 20_000_000);
  slow.resume();
  assert.equal((await buffer(slow)).length, 20_000_000);
});

test("Relay keeps bytes that wait for credit after both ends of the socket have ended, then ends the stream", async () => {
  const closed = Promise.withResolvers<void>();
  await using bridge = await Bridge.make((socket) => {
    socket.resume().on("end", () => socket.end(Buffer.alloc(relayWindowBytes + 10, 1)));
    socket.on("close", closed.resolve);
  });
  const frames: [type: number, bytes: number][] = [];
  bridge.agent.take = (type, _, payload) => frames.push([type, payload.length]) > 0;
  bridge.agentConnection.send(FrameType.agentRelayOpen, 0, 2, Buffer.alloc(2));
  bridge.agentConnection.send(FrameType.agentRelayEnd, 0, 2);
  await closed.promise;
  const received = (): number => frames.reduce((sum, [, bytes]) => sum + bytes, 0);
  await holds(() => received() === relayWindowBytes, "the window does not fill");
  // The server has nothing more to send. Wait some turns for the effects of its end.
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bridge.node.streamCount, 1);
  const credit = Buffer.alloc(4);
  credit.writeUInt32LE(10);
  bridge.agentConnection.send(FrameType.agentRelayCredit, 0, 2, credit);
  await holds(() => bridge.node.streamCount === 0, "the stream stays open");
  await holds(() => received() === relayWindowBytes + 10, "the remaining bytes do not arrive");
  await holds(() => frames.at(-1)?.[0] === FrameType.nodeRelayEnd, "the stream does not end");
  assert.ok(frames.every(([type]) => type !== FrameType.nodeRelayReset));
});

test("Relay resets a connection to a missing server, and one that fails", async () => {
  await using bridge = await Bridge.make((socket) => {
    socket.once("data", () => socket.destroy());
    socket.on("end", () => socket.end());
  });
  const refused = bridge.dial();
  refused.write("x");
  await once(refused.resume(), "end");
  refused.end();
  bridge.agent.carry(bridge.dial(), 7);
  await holds(() => bridge.agent.streamCount === 0, "a stream to an unknown target stays open");
  await holds(() => bridge.node.streamCount === 0, "a failed stream stays open");
});

test("Relay closes all streams with the channel", async () => {
  await using bridge = await Bridge.make(echo);
  const sockets = [bridge.dial(), bridge.dial()];
  for (const socket of sockets) socket.write("x");
  await Promise.all(sockets.map((socket) => once(socket, "data")));
  bridge.agentConnection.close();
  await Promise.all(sockets.map((socket) => once(socket.resume(), "end")));
  await holds(() => bridge.node.streamCount === 0, "the node keeps streams");
});

test("Relay refuses an agent that exceeds its window", async () => {
  await using bridge = await Bridge.make((socket) => socket.pause());
  const open = Buffer.alloc(2);
  bridge.agentConnection.send(FrameType.agentRelayOpen, 0, 2, open);
  const part = Buffer.alloc(60_000);
  for (let sent = 0; sent < 2 * relayWindowBytes; sent += part.length) {
    bridge.agentConnection.send(FrameType.agentRelayData, 0, 2, part);
  }
  // The server does not read, so it can't have granted credit for everything.
  for (let more = 0; more < 64 && bridge.errors.length === 0; more++) {
    for (let at = 0; at < 64; at++) bridge.agentConnection.send(FrameType.agentRelayData, 0, 2, part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await holds(() => bridge.errors.length === 1, "the agent is not refused");
  assert.match(bridge.errors[0]?.message ?? "", /more than its credit allows/);
});

for (const [what, id, payload] of [
  ["an id with the node's parity", 3, Buffer.alloc(2)],
  ["the id 0", 0, Buffer.alloc(2)],
  ["no target", 2, Buffer.alloc(0)],
] as const) {
  test(`Relay refuses an agent that opens a stream with ${what}`, async () => {
    await using bridge = await Bridge.make(echo);
    bridge.agentConnection.send(FrameType.agentRelayOpen, 0, id, payload);
    await holds(() => bridge.errors.length === 1, "the agent is not refused");
    assert.equal(bridge.errors[0]?.code, "agent_protocol");
  });
}

test("Relay refuses an id in use, and ignores frames of unknown streams", async () => {
  await using bridge = await Bridge.make(echo);
  const { agentConnection: agent } = bridge;
  for (const type of [FrameType.agentRelayData, FrameType.agentRelayEnd, FrameType.agentRelayReset]) {
    agent.send(type, 0, 1_000, Buffer.alloc(8));
  }
  agent.send(FrameType.agentRelayCredit, 0, 1_000, Buffer.alloc(4));
  agent.send(FrameType.agentRelayOpen, 0, 2, Buffer.alloc(2));
  await holds(() => bridge.node.streamCount === 1, "the stream is not opened");
  assert.deepEqual(bridge.errors, []);
  agent.send(FrameType.agentRelayOpen, 0, 2, Buffer.alloc(2));
  await holds(() => bridge.errors.length === 1, "the agent is not refused");
});

test("Relay resets streams beyond the maximum number", async () => {
  await using bridge = await Bridge.make((socket) => socket.pause());
  for (let at = 1; at <= relayStreamsMax + 1; at++) {
    bridge.agentConnection.send(FrameType.agentRelayOpen, 0, at * 2, Buffer.alloc(2));
  }
  await holds(() => bridge.accepted === relayStreamsMax, "not all streams open");
  assert.equal(bridge.node.streamCount, relayStreamsMax);
  assert.deepEqual(bridge.errors, []);
});

/** Both ends of a TCP connection, disposed at the end of the block. */
async function tcpPair(): Promise<{ near: Socket; far: Socket } & AsyncDisposable> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const arrived = once(server, "connection");
  const { port } = server.address() as AddressInfo;
  const near = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [far] = (await arrived) as [Socket];
  if (near.connecting) await once(near, "connect");
  for (const socket of [near, far]) socket.on("error", () => undefined).resume();
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      near.destroy();
      far.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

for (const [what, prepare] of [
  ["an open socket", () => undefined],
  ["a socket whose end is being sent", (socket) => void socket.end()],
  ["a socket whose end waits behind unsent bytes", (socket) => void socket.end(Buffer.alloc(20_000_000))],
  ["a socket that has ended", (socket) => once(socket.end(), "finish")],
  ["an aborted socket", (socket) => breakOff(socket)],
] as [string, (socket: Socket) => unknown][]) {
  test(`breakOff closes ${what}`, async () => {
    await using pair = await tcpPair();
    pair.far.pause();
    await prepare(pair.near);
    const closed = once(pair.near, "close", { signal: AbortSignal.timeout(5_000) });
    breakOff(pair.near);
    await closed;
    assert.ok(pair.near.destroyed);
  });
}

test("breakOff does not look like a clean end to the other side", async () => {
  await using pair = await tcpPair();
  const ended = once(pair.far, "end");
  breakOff(pair.near);
  await assert.rejects(ended, { code: "ECONNRESET" });
});

test("Relay resets streams over the node's budget, and releases closed ones", async () => {
  await using bridge = await Bridge.make((socket) => void socket.resume().on("end", () => socket.end()));
  bridge.streams.max = 2;
  const first = [bridge.dial(), bridge.dial()];
  await until(() => bridge.accepted === 2);
  const refused = bridge.dial();
  refused.resume().on("end", () => refused.end());
  await closed(refused);
  assert.equal(bridge.streams.used, 2);
  for (const socket of first) socket.destroy();
  await until(() => bridge.streams.used === 0);
  const again = bridge.dial();
  await until(() => bridge.accepted === 3);
  again.destroy();
  await until(() => bridge.streams.used === 0);
});

test("Relay aborts a stream whose bytes exceed the node's budget, and releases them", async () => {
  await using bridge = await Bridge.make((socket) => void socket.pause());
  bridge.waiting.max = 100_000;
  const socket = bridge.dial();
  socket.resume().on("end", () => socket.end());
  const gone = closed(socket);
  socket.write(Buffer.alloc(8_000_000));
  await gone;
  await until(() => bridge.waiting.used === 0 && bridge.streams.used === 0);
});
