import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../fixtures/random.ts";
import {
  FrameDecoder,
  FrameFlag,
  FrameType,
  frameBytesMax,
  frameHeaderBytes,
  framePayloadBytesMax,
  PayloadAssembler,
} from "./frames.ts";

const part = framePayloadBytesMax;

interface Frame {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

function encode({ type, flags, id, payload }: Frame): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt32LE(frameHeaderBytes - 4 + payload.length, 0);
  header[4] = type;
  header[5] = flags;
  header.writeUInt32LE(id, 8);
  return Buffer.concat([header, payload]);
}

/** Decodes chunks. Payloads are copied, because their views are valid only during the call. */
function decode(chunks: Iterable<Buffer>): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder((type, flags, id, payload) => {
    frames.push({ type, flags, id, payload: Buffer.from(payload) });
  });
  for (const bytes of chunks) {
    const chunk = Buffer.from(bytes);
    decoder.push(chunk);
    // The stream reuses the memory of the chunk.
    chunk.fill(0xee);
  }
  return frames;
}

function* cut(bytes: Buffer, lengths: () => number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const length = lengths();
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

const ping: Frame = { type: FrameType.ping, flags: 0, id: 7, payload: Buffer.alloc(0) };

test("FrameDecoder delivers every frame, regardless of chunk boundaries", () => {
  const random = seededRandom(5);
  for (let round = 0; round < 60; round++) {
    const longest = random.of([1, 3, 13, 500, 70_000]);
    // Large frames only with large chunks: the decoder copies an incomplete frame for each chunk.
    const largest = longest < 500 ? 2000 : framePayloadBytesMax;
    const frames = Array.from({ length: 1 + random.below(30) }, (): Frame => {
      const size = random.below(8) === 0 ? random.below(largest + 1) : random.below(60);
      return {
        type: random.below(256),
        flags: random.below(256),
        id: random.below(2 ** 32),
        payload: random.bytes(size),
      };
    });
    const chunks = cut(Buffer.concat(frames.map(encode)), () =>
      longest === 1 ? 1 : 1 + random.below(longest),
    );
    assert.deepEqual(decode(chunks), frames, `round ${round}`);
  }
});

test("FrameDecoder accepts the smallest and the largest frame", () => {
  const largest = { ...ping, payload: seededRandom(6).bytes(framePayloadBytesMax) };
  assert.equal(encode(largest).length, frameBytesMax);
  assert.deepEqual(decode([Buffer.concat([encode(ping), encode(largest)])]), [ping, largest]);
});

test("FrameDecoder refuses a length out of bounds as soon as it is read", () => {
  for (const length of [0, 1, frameHeaderBytes - 5, frameBytesMax - 3, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(length, 0);
    assert.throws(() => decode([head]), {
      code: "agent_protocol",
      message: new RegExp(`of ${length} bytes`),
    });
    assert.throws(() => decode(cut(head, () => 1)), { code: "agent_protocol" });
  }
});

test("FrameDecoder delivers the valid frames before an invalid one", () => {
  const frames: number[] = [];
  const decoder = new FrameDecoder((type) => frames.push(type));
  assert.throws(() => decoder.push(Buffer.concat([encode(ping), encode(ping), Buffer.alloc(4)])));
  assert.deepEqual(frames, [FrameType.ping, FrameType.ping]);
});

test("FrameDecoder delivers nothing for a frame that never completes", () => {
  const whole = encode({ ...ping, payload: Buffer.from("payload") });
  for (let length = 0; length < whole.length; length++)
    assert.deepEqual(decode([whole.subarray(0, length)]), []);
});

test("FrameType: the node's types are below 32, the agent's start at 32, and all are distinct", () => {
  const types = Object.values(FrameType);
  assert.equal(new Set(types).size, types.length);
  const fromNode = [
    "attach",
    "welcome",
    "artifact",
    "deploy",
    "undeploy",
    "invoke",
    "cancel",
    "ping",
    "hostReply",
  ];
  for (const [name, type] of Object.entries(FrameType))
    assert.equal(type < 32, fromNode.includes(name) || name.startsWith("nodeRelay"), name);
});

test("PayloadAssembler returns the same view for a payload of one part", () => {
  const payload = Buffer.from("one");
  assert.equal(new PayloadAssembler(1).add(0, 1, payload), payload);
});

test("PayloadAssembler reassembles interleaved parts of several ids", () => {
  const random = seededRandom(7);
  const assembler = new PayloadAssembler(20 * part);
  const sizes = [part, part + 1, 2 * part, 2 * part + 500, 3 * part, 4 * part - 1];
  const payloads = sizes.map((size, id) => Buffer.alloc(size, id + 1));
  const left = payloads.map((payload, id) => ({ id, payload, at: 0 }));
  const done = new Map<number, Buffer>();
  while (left.length > 0) {
    const which = random.below(left.length);
    const one = left[which];
    assert.ok(one !== undefined);
    const bytes = Buffer.from(one.payload.subarray(one.at, one.at + part));
    one.at += bytes.length;
    const last = one.at === one.payload.length;
    const whole = assembler.add(last ? 0 : FrameFlag.more, one.id, bytes);
    assert.equal(whole !== undefined, last);
    if (whole !== undefined) done.set(one.id, whole);
    if (last) left.splice(which, 1);
  }
  for (const [id, payload] of payloads.entries()) assert.ok(done.get(id)?.equals(payload), `${id}`);
});

test("PayloadAssembler accepts exactly its limit over all incomplete payloads", () => {
  const almostFull = (): PayloadAssembler => {
    const assembler = new PayloadAssembler(2 * part + 40);
    assembler.add(FrameFlag.more, 1, Buffer.alloc(part));
    assembler.add(FrameFlag.more, 2, Buffer.alloc(part));
    return assembler;
  };
  assert.throws(() => almostFull().add(FrameFlag.more, 3, Buffer.alloc(part)), { code: "agent_protocol" });
  assert.throws(() => almostFull().add(FrameFlag.more, 1, Buffer.alloc(part)), { code: "agent_protocol" });
  assert.throws(() => almostFull().add(0, 1, Buffer.alloc(41)), { code: "agent_protocol" });
  assert.equal(almostFull().add(0, 1, Buffer.alloc(40))?.length, part + 40);
});

test("PayloadAssembler releases space after a payload is complete or dropped", () => {
  const assembler = new PayloadAssembler(2 * part);
  for (let round = 0; round < 5; round++) {
    assembler.add(FrameFlag.more, 1, Buffer.alloc(part));
    assert.equal(assembler.add(0, 1, Buffer.alloc(part))?.length, 2 * part);
    assembler.add(FrameFlag.more, 2, Buffer.alloc(part));
    assembler.add(FrameFlag.more, 2, Buffer.alloc(part));
    assembler.drop(2);
    assembler.drop(2);
  }
});

test("PayloadAssembler accepts a new payload for a dropped id", () => {
  const assembler = new PayloadAssembler(2 * part);
  assembler.add(FrameFlag.more, 1, Buffer.alloc(part));
  assembler.drop(1);
  assert.equal(assembler.add(0, 1, Buffer.from("new"))?.toString(), "new");
});

test("PayloadAssembler refuses a part other than the last one that does not fill its frame", () => {
  // Each of these parts would take memory beyond its own bytes, without a limit on their number.
  for (const bytes of [0, 1, part - 1]) {
    const refused = { code: "agent_protocol", message: /is not the last one$/ };
    const assembler = new PayloadAssembler(3 * part);
    assert.throws(() => assembler.add(FrameFlag.more, 1, Buffer.alloc(bytes)), refused);
    assembler.add(FrameFlag.more, 2, Buffer.alloc(part));
    assert.throws(() => assembler.add(FrameFlag.more, 2, Buffer.alloc(bytes)), refused);
  }
});
