import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect as netConnect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { test } from "node:test";
import type { NexError } from "../errors.ts";
import { seededRandom } from "../fixtures/random.ts";
import { FrameConnection } from "./frame-connection.ts";
import { FrameFlag, FrameType, framePayloadBytesMax, PayloadAssembler } from "./frames.ts";

/** Both ends of a unix socket connection. */
async function socketPair(): Promise<{ left: Socket; right: Socket } & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), "nex-frames-"));
  const server = createServer();
  server.listen(join(directory, "s"));
  await once(server, "listening");
  const left = netConnect(join(directory, "s"));
  const [right] = await once(server, "connection");
  return {
    left,
    right,
    async [Symbol.asyncDispose]() {
      left.destroy();
      right.destroy();
      server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** One end of a connection, which records what it receives. */
class End {
  readonly connection: FrameConnection;
  readonly frames: { type: number; flags: number; id: number; payload: Buffer }[] = [];
  readonly ends: (NexError | undefined)[] = [];
  drains = 0;
  readonly #changed: (() => void)[] = [];

  constructor(stream: Duplex) {
    this.connection = new FrameConnection(stream, {
      frame: (type, flags, id, payload) => {
        this.frames.push({ type, flags, id, payload: Buffer.from(payload) });
        this.#wake();
      },
      end: (error) => {
        this.ends.push(error);
        this.#wake();
      },
      drain: () => {
        this.drains++;
        this.#wake();
      },
    });
  }

  #wake(): void {
    for (const wake of this.#changed.splice(0)) wake();
  }

  /** Waits for a condition, bounded by the test's time limit. */
  async until(condition: (end: End) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }
}

/** A stream that never completes a write. */
function stuckStream(): Duplex {
  return new Duplex({ read: () => undefined, write: () => undefined });
}

test("FrameConnection delivers frames of any size in order, in both directions", {
  timeout: 60_000,
}, async () => {
  await using pair = await socketPair();
  const [left, right] = [new End(pair.left), new End(pair.right)];
  const random = seededRandom(8);
  const sent = Array.from({ length: 300 }, (_, id) => ({
    type: 1 + random.below(60),
    flags: random.below(4),
    id,
    payload: random.bytes(
      random.below(10) === 0 ? random.below(framePayloadBytesMax + 1) : random.below(200),
    ),
  }));
  for (const frame of sent) {
    left.connection.send(frame.type, frame.flags, frame.id, frame.payload);
    // Copy the payload: the sender may reuse its memory.
    const kept = Buffer.from(frame.payload);
    frame.payload.fill(0);
    frame.payload = kept;
    right.connection.send(FrameType.pong, 0, frame.id);
  }
  await right.until(({ frames }) => frames.length === sent.length);
  await left.until(({ frames }) => frames.length === sent.length);
  assert.deepEqual(right.frames, sent);
  assert.deepEqual(
    left.frames.map(({ id }) => id),
    sent.map(({ id }) => id),
  );
});

test("FrameConnection.sendLong splits a payload at the frame limit, and an assembler restores it", {
  timeout: 60_000,
}, async () => {
  const sizes = [
    0,
    1,
    framePayloadBytesMax,
    framePayloadBytesMax + 1,
    2 * framePayloadBytesMax,
    3 * framePayloadBytesMax + 5,
  ];
  await using pair = await socketPair();
  const [left, right] = [new End(pair.left), new End(pair.right)];
  for (const [id, size] of sizes.entries()) {
    left.connection.sendLong(FrameType.result, FrameFlag.error, id, Buffer.alloc(size, id + 1));
  }
  const count = sizes.reduce((sum, size) => sum + Math.max(1, Math.ceil(size / framePayloadBytesMax)), 0);
  await right.until(({ frames }) => frames.length === count);
  const assembler = new PayloadAssembler(4 * framePayloadBytesMax);
  const wholes = right.frames.flatMap(({ flags, id, payload }) => {
    assert.equal(flags & FrameFlag.error, FrameFlag.error);
    const whole = assembler.add(flags, id, payload);
    return whole === undefined ? [] : [whole];
  });
  assert.deepEqual(
    wholes,
    sizes.map((size, id) => Buffer.alloc(size, id + 1)),
  );
});

test("FrameConnection.sendJson sends JSON of any size", { timeout: 60_000 }, async () => {
  await using pair = await socketPair();
  const [left, right] = [new End(pair.left), new End(pair.right)];
  const value = { text: "☃".repeat(30_000) };
  left.connection.sendJson(FrameType.deploy, value);
  await right.until(({ frames }) => frames.length === 2);
  assert.deepEqual(JSON.parse(Buffer.concat(right.frames.map(({ payload }) => payload)).toString()), value);
});

test("FrameConnection.send refuses a payload that is too large, and keeps working", {
  timeout: 60_000,
}, async () => {
  await using pair = await socketPair();
  const [left, right] = [new End(pair.left), new End(pair.right)];
  assert.throws(() => left.connection.send(FrameType.log, 0, 0, Buffer.alloc(framePayloadBytesMax + 1)), {
    code: "internal",
  });
  left.connection.send(FrameType.ping, 0, 1);
  await right.until(({ frames }) => frames.length === 1);
  assert.equal(right.frames[0]?.id, 1);
});

test("FrameConnection batches the frames of one turn into one write", async () => {
  const writes: number[] = [];
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      writes.push(chunk.length);
      done();
    },
  });
  const { connection } = new End(stream);
  for (let id = 0; id < 100; id++) connection.send(FrameType.ping, 0, id);
  assert.deepEqual(writes, []);
  connection.flush();
  assert.deepEqual(writes, [1200]);
});

test("FrameConnection.close flushes, and ends both sides once and without an error", {
  timeout: 60_000,
}, async () => {
  await using pair = await socketPair();
  const [left, right] = [new End(pair.left), new End(pair.right)];
  left.connection.send(FrameType.ping, 0, 9);
  left.connection.close();
  left.connection.close();
  await right.until(({ ends }) => ends.length > 0);
  assert.deepEqual(
    right.frames.map(({ id }) => id),
    [9],
  );
  assert.deepEqual([left.ends, right.ends], [[undefined], [undefined]]);
  assert.ok(left.connection.ended && right.connection.ended);
});

test("FrameConnection writes nothing after it is closed, and reports it", { timeout: 60_000 }, async () => {
  await using pair = await socketPair();
  const [left, right] = [new End(pair.left), new End(pair.right)];
  left.connection.close();
  assert.equal(left.connection.reserve(FrameType.ping, 0, 1, 0), -1);
  left.connection.send(FrameType.ping, 0, 1, Buffer.from("x"));
  left.connection.flush();
  await right.until(({ ends }) => ends.length > 0);
  assert.deepEqual(right.frames, []);
});

test("FrameConnection closes with an error when the other side does not send frames", {
  timeout: 60_000,
}, async () => {
  await using pair = await socketPair();
  const left = new End(pair.left);
  pair.right.write("GET / HTTP/1.1\r\n\r\n");
  await left.until(({ ends }) => ends.length > 0);
  assert.equal(left.ends[0]?.code, "agent_protocol");
  assert.deepEqual(left.frames, []);
  await once(pair.right.resume(), "close");
  assert.equal(left.ends.length, 1);
});

test("FrameConnection closes with the error that its owner throws", {
  timeout: 60_000,
}, async () => {
  await using pair = await socketPair();
  const ends: (NexError | undefined)[] = [];
  const ended = Promise.withResolvers<void>();
  new FrameConnection(pair.left, {
    frame: () => {
      throw new TypeError("no such frame");
    },
    end: (error) => {
      ends.push(error);
      ended.resolve();
    },
  });
  const right = new End(pair.right);
  right.connection.send(FrameType.ping, 0, 1);
  await ended.promise;
  assert.equal(ends[0]?.code, "agent_protocol");
  assert.match(ends[0]?.message ?? "", /no such frame/);
});

test("FrameConnection delivers no frame after it is closed in the middle of a chunk", {
  timeout: 60_000,
}, async () => {
  await using pair = await socketPair();
  const seen: number[] = [];
  const ended = Promise.withResolvers<void>();
  const left: FrameConnection = new FrameConnection(pair.left, {
    frame: (_type, _flags, id) => {
      seen.push(id);
      left.close();
    },
    end: () => ended.resolve(),
  });
  const right = new End(pair.right);
  for (const id of [1, 2, 3]) right.connection.send(FrameType.ping, 0, id);
  await ended.promise;
  await right.until(({ ends }) => ends.length > 0);
  assert.deepEqual(seen, [1]);
});

test("FrameConnection signals backpressure, and its end", {
  timeout: 60_000,
}, async () => {
  await using pair = await socketPair();
  pair.right.pause();
  const left = new End(pair.left);
  const payload = Buffer.alloc(framePayloadBytesMax);
  let sent = 1;
  while (left.connection.send(FrameType.log, 0, 0, payload)) {
    sent++;
    assert.ok(sent < 1000, "drain was never reported");
  }
  assert.ok(left.connection.congested);
  const right = new End(pair.right);
  pair.right.resume();
  await left.until(({ drains }) => drains > 0);
  assert.ok(!left.connection.congested);
  await right.until(({ frames }) => frames.length === sent);
});

test("FrameConnection closes when the other side never reads", () => {
  const end = new End(stuckStream());
  const payload = Buffer.alloc(framePayloadBytesMax);
  for (let sent = 0; !end.connection.ended; sent++) {
    assert.ok(sent < 2000, "the connection buffered more than its limit");
    end.connection.send(FrameType.log, 0, 0, payload);
  }
  assert.equal(end.ends.length, 1);
  assert.match(end.ends[0]?.message ?? "", /the other side does not read$/);
});

test("FrameConnection reports its end once, also when flushing on close fails", () => {
  const limit = 64 * 1024 * 1024;
  const stream = stuckStream();
  const end = new End(stream);
  const payload = Buffer.alloc(framePayloadBytesMax);
  while (stream.writableLength + 65_536 <= limit) {
    end.connection.send(FrameType.log, 0, 0, payload);
    end.connection.flush();
  }
  assert.ok(!end.connection.ended);
  end.connection.send(FrameType.log, 0, 0, payload);
  end.connection.close();
  assert.equal(end.ends.length, 1);
  assert.match(end.ends[0]?.message ?? "", /the other side does not read$/);
});
