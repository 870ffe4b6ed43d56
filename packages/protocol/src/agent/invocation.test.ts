import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { seededRandom } from "../fixtures/random.ts";
import { FrameConnection } from "./frame-connection.ts";
import { FrameDecoder, FrameFlag, FrameType, framePayloadBytesMax, PayloadAssembler } from "./frames.ts";
import {
  CallError,
  callErrorTextBytesMax,
  cutText,
  parseCallFailure,
  parseInvocation,
  sendCallFailure,
  sendInvocation,
} from "./invocation.ts";

interface Sent {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

/** What an action writes, as frames. */
function sentBy(act: (connection: FrameConnection) => void): Sent[] {
  const frames: Sent[] = [];
  const decoder = new FrameDecoder((type, flags, id, payload) => {
    frames.push({ type, flags, id, payload: Buffer.from(payload) });
  });
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      decoder.push(chunk);
      done();
    },
  });
  const connection = new FrameConnection(stream, { frame: () => undefined, end: () => undefined });
  act(connection);
  connection.flush();
  return frames;
}

function together(frames: Sent[]): Buffer {
  const assembler = new PayloadAssembler(16 * 1024 * 1024);
  const wholes = frames.flatMap(({ flags, id, payload }) => assembler.add(flags, id, payload) ?? []);
  assert.equal(wholes.length, 1);
  return wholes[0] ?? Buffer.alloc(0);
}

test("sendInvocation's subject and payload come back from parseInvocation, around the limit of a frame too", () => {
  const random = seededRandom(9);
  for (const subject of ["a", "défaut.☃.x", "x".repeat(1024)]) {
    const limit = framePayloadBytesMax - 2 - Buffer.byteLength(subject);
    for (const size of [0, 1, limit - 1, limit, limit + 1, 2 * framePayloadBytesMax, 300_000]) {
      const payload = random.bytes(size);
      const frames = sentBy((connection) => sendInvocation(connection, 42, subject, payload));
      assert.equal(
        frames.length,
        Math.max(1, Math.ceil((2 + Buffer.byteLength(subject) + size) / framePayloadBytesMax)),
      );
      for (const { type, id } of frames) assert.deepEqual([type, id], [FrameType.invoke, 42]);
      const parsed = parseInvocation(together(frames));
      assert.equal(parsed.subject, subject);
      assert.deepEqual(parsed.payload, payload);
    }
  }
});

test("sendInvocation copies the payload before it returns", () => {
  for (const size of [10, framePayloadBytesMax * 2]) {
    const payload = Buffer.alloc(size, 1);
    const frames = sentBy((connection) => {
      sendInvocation(connection, 1, "a", payload);
      payload.fill(2);
    });
    assert.deepEqual(parseInvocation(together(frames)).payload, Buffer.alloc(size, 1));
  }
});

test("sendInvocation writes nothing on a channel that has ended", () => {
  const frames = sentBy((connection) => {
    connection.close();
    sendInvocation(connection, 1, "a", Buffer.from("x"));
    sendInvocation(connection, 1, "a", Buffer.alloc(framePayloadBytesMax));
  });
  assert.deepEqual(frames, []);
});

test("parseInvocation refuses what is cut off before the subject's end", () => {
  const whole = Buffer.from("\x05\x00abcdepayload", "latin1");
  for (let length = 0; length < 7; length++) {
    assert.throws(() => parseInvocation(whole.subarray(0, length)), { code: "agent_protocol" }, `${length}`);
  }
  assert.equal(parseInvocation(whole.subarray(0, 7)).subject, "abcde");
});

test("sendCallFailure's code and text come back from parseCallFailure, flagged as an error", () => {
  for (const code of Object.values(CallError)) {
    const frames = sentBy((connection) => sendCallFailure(connection, 3, { code, text: "it was ☃" }));
    assert.deepEqual(
      frames.map(({ type, flags, id }) => [type, flags, id]),
      [[FrameType.result, FrameFlag.error, 3]],
    );
    assert.deepEqual(parseCallFailure(together(frames)), { code, text: "it was ☃" });
  }
});

test("sendCallFailure cuts a long text, also a very long one, and not within a character", () => {
  for (const text of [
    "x".repeat(5000),
    `${"x".repeat(callErrorTextBytesMax - 1)}☃`,
    "☃".repeat(100_000),
    "😀".repeat(999),
  ]) {
    const frames = sentBy((connection) => sendCallFailure(connection, 1, { code: 500, text }));
    const parsed = parseCallFailure(together(frames));
    const bytes = Buffer.byteLength(parsed.text);
    assert.ok(bytes <= callErrorTextBytesMax && bytes > callErrorTextBytesMax - 4, `${bytes}`);
    assert.ok(text.startsWith(parsed.text), JSON.stringify(parsed.text.slice(-3)));
  }
});

test("parseCallFailure takes an unknown code for 500, and reads what is cut off", () => {
  const failure = (code: number, text: string): Buffer => {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(code, 0);
    return Buffer.concat([bytes, Buffer.from(text)]);
  };
  for (const code of [0, 200, 418, 65_535])
    assert.deepEqual(parseCallFailure(failure(code, "x")), { code: 500, text: "x" });
  assert.deepEqual(parseCallFailure(Buffer.alloc(0)), { code: 500, text: "" });
  assert.deepEqual(parseCallFailure(Buffer.alloc(1)), { code: 500, text: "" });
  assert.equal(parseCallFailure(failure(500, "x".repeat(5000))).text.length, callErrorTextBytesMax);
});

test("cutText keeps what fits and cuts to whole characters", () => {
  assert.equal(cutText("abc", 3).toString(), "abc");
  assert.equal(cutText("abcd", 3).toString(), "abc");
  assert.equal(cutText("a☃", 4).toString(), "a☃");
  assert.equal(cutText("a☃", 3).toString(), "a");
  assert.equal(cutText("😀😀", 7).toString(), "😀");
  assert.equal(cutText("", 3).toString(), "");
});
