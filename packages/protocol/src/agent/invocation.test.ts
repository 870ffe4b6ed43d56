import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { seededRandom } from "../fixtures/random.ts";
import { FrameConnection } from "./frame-connection.ts";
import { FrameDecoder, FrameFlag, FrameType, framePayloadBytesMax, PayloadAssembler } from "./frames.ts";
import {
  CallError,
  callErrorTextBytesMax,
  callHeaderBytesMax,
  checkHeaderBlock,
  cutText,
  type MessageView,
  messageView,
  parseCallFailure,
  readInvocation,
  readResult,
  retryAfterMsMax,
  sendCallFailure,
  sendInvocation,
  sendResult,
} from "./invocation.ts";

interface Sent {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

/** Frames that an action sends. */
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

function textOf({ bytes }: MessageView, start: number, end: number): string {
  return Buffer.from(bytes.subarray(start, end)).toString();
}

const block = "NATS/1.0\r\nA: b\r\n\r\n";

test("readInvocation reverses sendInvocation, also around the size limit of a frame", () => {
  const random = seededRandom(9);
  for (const subject of ["a", "défaut.☃.x", "x".repeat(1024)]) {
    for (const headers of ["", block]) {
      const head = 2 + Buffer.byteLength(subject) + (headers === "" ? 0 : 2 + headers.length);
      const limit = framePayloadBytesMax - head;
      for (const size of [0, 1, 100, limit - 1, limit, limit + 1, 2 * framePayloadBytesMax, 300_000]) {
        const payload = random.bytes(size);
        const frames = sentBy((connection) =>
          sendInvocation(connection, 42, messageView(subject, payload, Buffer.from(headers))),
        );
        assert.equal(frames.length, Math.max(1, Math.ceil((head + size) / framePayloadBytesMax)));
        for (const { type, id } of frames) assert.deepEqual([type, id], [FrameType.invoke, 42]);
        const whole = together(frames);
        const flags = (frames.at(-1) as Sent).flags;
        const view = readInvocation(flags, whole, 0, whole.length);
        assert.equal(textOf(view, view.subjectStart, view.subjectEnd), subject);
        assert.equal(textOf(view, view.headersStart, view.payloadStart), headers);
        assert.deepEqual(whole.subarray(view.payloadStart, view.payloadEnd), payload);
      }
    }
  }
});

test("readInvocation reverses sendInvocation with a trigger, with headers and without", () => {
  const random = seededRandom(10);
  for (const delivery of ["", "$JS.ACK.S.C.1.2.3.4.5 1700000000000", "x".repeat(1024)]) {
    for (const headers of ["", block]) {
      for (const size of [0, 100, framePayloadBytesMax]) {
        const payload = random.bytes(size);
        const trigger = { place: 64, delivery };
        const frames = sentBy((connection) =>
          sendInvocation(connection, 42, messageView("a.b", payload, Buffer.from(headers), trigger)),
        );
        const whole = together(frames);
        const view = readInvocation((frames.at(-1) as Sent).flags, whole, 0, whole.length);
        assert.equal(textOf(view, view.subjectStart, view.subjectEnd), "a.b");
        assert.equal(view.triggerPlace, 64);
        assert.equal(textOf(view, view.deliveryStart, view.deliveryEnd), delivery);
        assert.equal(textOf(view, view.headersStart, view.payloadStart), headers);
        assert.deepEqual(whole.subarray(view.payloadStart, view.payloadEnd), payload);
      }
    }
  }
});

test("sendInvocation without a trigger writes what agents of earlier nodes read", () => {
  const frames = sentBy((connection) => sendInvocation(connection, 1, messageView("a", Buffer.from("x"))));
  assert.deepEqual(
    frames.map(({ flags, payload }) => [flags, payload.toString("latin1")]),
    [[0, "\x01\0ax"]],
  );
});

test("sendInvocation copies its arguments before it returns", () => {
  for (const size of [10, framePayloadBytesMax * 2]) {
    const view = messageView("a", Buffer.alloc(size, 1));
    const frames = sentBy((connection) => {
      sendInvocation(connection, 1, view);
      view.bytes.fill(2);
    });
    assert.deepEqual(together(frames).subarray(3), Buffer.alloc(size, 1));
  }
});

test("sendInvocation writes nothing on a closed channel", () => {
  const frames = sentBy((connection) => {
    connection.close();
    sendInvocation(connection, 1, messageView("a", Buffer.from("x")));
    sendInvocation(connection, 1, messageView("a", Buffer.alloc(framePayloadBytesMax)));
  });
  assert.deepEqual(frames, []);
});

test("readInvocation refuses an invocation that is truncated before the payload", () => {
  const whole = Buffer.from("\x05\x00abcde\x03\x00h:vpayload", "latin1");
  for (let length = 0; length < 12; length++) {
    assert.throws(() => readInvocation(FrameFlag.headers, whole, 0, length), { code: "agent_protocol" });
    if (length < 7) assert.throws(() => readInvocation(0, whole, 0, length), { code: "agent_protocol" });
  }
  assert.equal(readInvocation(0, whole, 0, 7).subjectEnd, 7);
  assert.equal(readInvocation(FrameFlag.headers, whole, 0, 12).payloadStart, 12);
});

test("readInvocation refuses an invocation that is truncated in its trigger", () => {
  const whole = Buffer.from("\x01\x00a\x07\x02\x00$J\x03\x00h:vpayload", "latin1");
  const flags = FrameFlag.headers | FrameFlag.trigger;
  for (let length = 0; length < 13; length++)
    assert.throws(() => readInvocation(flags, whole, 0, length), { code: "agent_protocol" }, `${length}`);
  const { triggerPlace, payloadStart } = readInvocation(flags, whole, 0, 13);
  assert.deepEqual([triggerPlace, payloadStart], [8, 13]);
});

test("readResult reverses sendResult, also around the size limit of a frame", () => {
  for (const headers of ["", block]) {
    const limit = framePayloadBytesMax - 4 - (headers === "" ? 0 : 2 + headers.length);
    for (const size of [0, 1, 100, limit, limit + 1, 300_000]) {
      const payload = Buffer.alloc(size, 7);
      const frames = sentBy((connection) =>
        sendResult(connection, 3, 0xffff_fffe, payload, Buffer.from(headers)),
      );
      const whole = together(frames);
      const view = readResult((frames.at(-1) as Sent).flags, whole, 0, whole.length);
      assert.equal(view.runTicks, 0xffff_fffe);
      assert.equal(whole.toString("utf8", view.headersStart, view.payloadStart), headers);
      assert.deepEqual(whole.subarray(view.payloadStart, view.payloadEnd), payload);
    }
  }
});

test("readResult refuses a truncated result", () => {
  const whole = Buffer.from("\0\0\0\0\x03\x00h:v", "latin1");
  for (let length = 0; length < 9; length++)
    assert.throws(() => readResult(FrameFlag.headers, whole, 0, length), { code: "agent_protocol" });
  for (let length = 0; length < 4; length++)
    assert.throws(() => readResult(0, whole, 0, length), { code: "agent_protocol" });
});

test("checkHeaderBlock accepts a header block and nothing else", () => {
  const check = (text: string): void =>
    checkHeaderBlock(Buffer.from(`x${text}x`), 1, 1 + Buffer.byteLength(text));
  for (const good of ["", "NATS/1.0\r\n\r\n", block, "NATS/1.0\r\nA:\r\nB: ☃ :\r\n\r\n"]) check(good);
  for (const bad of [
    "NATS/1.0",
    "NATS/1.0\r\n",
    "NATS/1.0 503\r\n\r\n",
    "NATS/1.0\r\nA b\r\n\r\n",
    "NATS/1.0\r\n: b\r\n\r\n",
    "NATS/1.0\r\nA : b\r\n\r\n",
    "NATS/1.0\r\nA: b\n\r\n\r\n",
    "NATS/1.0\r\nA: b\0\r\n\r\n",
    "NATS/1.0\r\n\r\nPUB",
    `NATS/1.0\r\nA: ${"b".repeat(callHeaderBytesMax)}\r\n\r\n`,
  ])
    assert.throws(() => check(bad), { code: "agent_protocol" }, JSON.stringify(bad.slice(0, 40)));
});

test("parseCallFailure reverses sendCallFailure, which sets the error flag", () => {
  for (const code of Object.values(CallError)) {
    const frames = sentBy((connection) => sendCallFailure(connection, 3, { code, text: "it was ☃" }, 9));
    assert.deepEqual(
      frames.map(({ type, flags, id }) => [type, flags, id]),
      [[FrameType.result, FrameFlag.error, 3]],
    );
    assert.deepEqual(parseCallFailure(FrameFlag.error, together(frames)), {
      runTicks: 9,
      code,
      text: "it was ☃",
    });
  }
});

test("parseCallFailure tells when a call may be tried again", () => {
  for (const retry of [{ retry: false as const }, { retryAfterMs: 0 }, { retryAfterMs: 86_400_000 }]) {
    const failure = { code: CallError.threw, text: "no ☃", ...retry };
    const frames = sentBy((connection) => sendCallFailure(connection, 3, failure));
    const { flags } = frames[0] as Sent;
    assert.deepEqual(parseCallFailure(flags, together(frames)), { runTicks: 0, ...failure });
  }
});

test("parseCallFailure takes a delay out of bounds, and a truncated one, as none", () => {
  const flags = FrameFlag.error | FrameFlag.retry;
  const bytes = Buffer.alloc(11, "x");
  bytes.writeUInt16LE(500, 4);
  for (const delay of [retryAfterMsMax + 1, 0xffff_fffe]) {
    bytes.writeUInt32LE(delay, 6);
    assert.deepEqual(parseCallFailure(flags, bytes), {
      runTicks: bytes.readUInt32LE(0),
      code: 500,
      text: "x",
    });
  }
  for (let length = 6; length < 10; length++)
    assert.deepEqual(Object.keys(parseCallFailure(flags, bytes.subarray(0, length))), [
      "runTicks",
      "code",
      "text",
    ]);
});

test("sendCallFailure truncates long and very long texts at a character boundary", () => {
  for (const text of [
    "x".repeat(5000),
    `${"x".repeat(callErrorTextBytesMax - 1)}☃`,
    "☃".repeat(100_000),
    "😀".repeat(999),
  ]) {
    const frames = sentBy((connection) => sendCallFailure(connection, 1, { code: 500, text }));
    const parsed = parseCallFailure(FrameFlag.error, together(frames));
    const bytes = Buffer.byteLength(parsed.text);
    assert.ok(bytes <= callErrorTextBytesMax && bytes > callErrorTextBytesMax - 4, `${bytes}`);
    assert.ok(text.startsWith(parsed.text), JSON.stringify(parsed.text.slice(-3)));
  }
});

test("parseCallFailure reads an unknown code as 500, and accepts truncated bytes", () => {
  const failure = (code: number, text: string): Buffer => {
    const bytes = Buffer.alloc(6);
    bytes.writeUInt16LE(code, 4);
    return Buffer.concat([bytes, Buffer.from(text)]);
  };
  for (const code of [0, 200, 418, 65_535])
    assert.deepEqual(parseCallFailure(0, failure(code, "x")), { runTicks: 0, code: 500, text: "x" });
  assert.deepEqual(parseCallFailure(0, Buffer.alloc(0)), { runTicks: 0, code: 500, text: "" });
  assert.deepEqual(parseCallFailure(0, Buffer.alloc(1)), { runTicks: 0, code: 500, text: "" });
  assert.equal(parseCallFailure(0, failure(500, "x".repeat(5000))).text.length, callErrorTextBytesMax);
});

test("cutText keeps short texts, and truncates at a character boundary", () => {
  assert.equal(cutText("abc", 3).toString(), "abc");
  assert.equal(cutText("abcd", 3).toString(), "abc");
  assert.equal(cutText("a☃", 4).toString(), "a☃");
  assert.equal(cutText("a☃", 3).toString(), "a");
  assert.equal(cutText("😀😀", 7).toString(), "😀");
  assert.equal(cutText("", 3).toString(), "");
});
