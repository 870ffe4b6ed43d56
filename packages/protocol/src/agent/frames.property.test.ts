import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  FrameDecoder,
  FrameFlag,
  frameBytesMax,
  frameHeaderBytes,
  framePayloadBytesMax,
  PayloadAssembler,
} from "./frames.ts";

interface Frame {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

const byte = fc.nat(255);
const frame: fc.Arbitrary<Frame> = fc.record(
  {
    type: byte,
    flags: byte,
    id: fc.nat(0xffff_ffff),
    payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true },
);

function encode({ type, flags, id, payload }: Frame): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt32LE(frameHeaderBytes - 4 + payload.length, 0);
  header[4] = type;
  header[5] = flags;
  header.writeUInt32LE(id, 8);
  return Buffer.concat([header, payload]);
}

/** The bytes in chunks of the lengths given, over and over. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] as number;
    chunks.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return chunks;
}

test("FrameDecoder gives back any frames, cut anywhere", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), lengths, (frames, cuts) => {
      const found: Frame[] = [];
      const decoder = new FrameDecoder((type, flags, id, payload) => {
        found.push({ type, flags, id, payload: Buffer.from(payload) });
      });
      for (const chunk of cut(Buffer.concat(frames.map(encode)), cuts)) {
        decoder.push(chunk);
        chunk.fill(0xee);
      }
      assert.deepEqual(found, frames);
    }),
  );
});

test("FrameDecoder refuses every length out of bounds, wherever it stands", () => {
  const bad = fc.oneof(
    fc.nat(frameHeaderBytes - 5),
    fc.integer({ min: frameBytesMax - 3, max: 0xffff_ffff }),
  );
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 3 }),
      bad,
      fc.integer({ min: 1, max: 64 }),
      (frames, length, size) => {
        const end = Buffer.alloc(4);
        end.writeUInt32LE(length);
        const decoder = new FrameDecoder(() => undefined);
        assert.throws(
          () => {
            for (const chunk of cut(Buffer.concat([...frames.map(encode), end, Buffer.alloc(64)]), [size]))
              decoder.push(chunk);
          },
          { code: "agent_protocol" },
        );
      },
    ),
  );
});

test("PayloadAssembler gives back payloads whose parts are mixed in any way", () => {
  const sizes = fc.array(fc.nat(3 * framePayloadBytesMax), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(sizes, fc.infiniteStream(fc.nat()), (lengths, choices) => {
      const payloads = lengths.map((length, at) => Buffer.alloc(length, at + 1));
      const assembler = new PayloadAssembler(16 * framePayloadBytesMax);
      const left = new Map<number, Buffer>(payloads.map((payload, id) => [id, payload]));
      while (left.size > 0) {
        const ids = [...left.keys()];
        const id = ids[(choices.next().value as number) % ids.length] as number;
        const rest = left.get(id) as Buffer;
        const more = rest.length > framePayloadBytesMax;
        const part = rest.subarray(0, framePayloadBytesMax);
        const whole = assembler.add(more ? FrameFlag.more : 0, id, part);
        if (more) left.set(id, rest.subarray(framePayloadBytesMax));
        else left.delete(id);
        assert.equal(whole === undefined, more);
        if (whole !== undefined) assert.ok(whole.equals(payloads[id] as Buffer));
      }
      assert.ok(assembler.empty);
    }),
    { numRuns: 40 },
  );
});
