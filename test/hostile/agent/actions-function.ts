/** Agents that get calls of a function. */
import { setTimeout as delay } from "node:timers/promises";
import { FrameFlag, FrameType, framePayloadBytesMax, readInvocation } from "@nexengine/protocol/agent";
import type { Frame, Wire } from "./wire.ts";

const forgeriesMax = 500;
/** Parts of 64 KiB. */
const orphanParts = 1_500;
/** Longer than any call may take. */
const lateMs = 3_000;

/** Answers each call with its own payload, as soon as the handler has done what it wants. */
async function serve(wire: Wire, action: (frame: Frame) => Promise<void> | void): Promise<void> {
  wire.onFrame = (frame) => {
    if (frame.type === FrameType.invoke) void action(frame);
  };
  await wire.run();
}

let begun = 0;

/** One more call has begun. */
function start(wire: Wire): void {
  wire.send(FrameType.began, undefined, ++begun);
}

function payloadOf({ payload }: Frame): Buffer {
  const { payloadStart } = readInvocation(0, payload, 0, payload.length);
  return payload.subarray(payloadStart);
}

function result(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(4), payload]);
}

function reply(wire: Wire, frame: Frame): void {
  wire.send(FrameType.result, result(payloadOf(frame)), frame.id);
}

export const functionActions = {
  "forged results": (wire: Wire) =>
    serve(wire, (frame) => {
      for (let forgery = 0; forgery < forgeriesMax; forgery++) {
        const id = forgery % 2 ? forgery : Math.floor(Math.random() * 2 ** 32);
        if (id === frame.id) continue;
        wire.send(FrameType.began, undefined, id);
        wire.send(FrameType.result, result(Buffer.from("forged")), id);
        wire.send(FrameType.pong, undefined, id);
      }
      start(wire);
      reply(wire, frame);
    }),
  "results of no call": async (wire: Wire) => {
    let sent = false;
    await serve(wire, async (frame) => {
      start(wire);
      const part = Buffer.alloc(framePayloadBytesMax);
      if (!sent) {
        sent = true;
        for (let id = 1; id <= orphanParts; id++) {
          wire.send(FrameType.result, part, 0xff00_0000 + id, FrameFlag.more);
          await wire.drained();
        }
      }
      reply(wire, frame);
    });
  },
  "results twice": (wire: Wire) =>
    serve(wire, (frame) => {
      start(wire);
      reply(wire, frame);
      for (let again = 0; again < 10; again++) {
        start(wire);
        wire.send(FrameType.result, result(Buffer.from("again")), frame.id);
        wire.send(FrameType.result, Buffer.alloc(6), frame.id, FrameFlag.error);
      }
    }),
  "late results": (wire: Wire) =>
    serve(wire, async (frame) => {
      start(wire);
      if (payloadOf(frame).toString() === "late") await delay(lateMs);
      reply(wire, frame);
    }),
  "result without end": (wire: Wire) =>
    serve(wire, async (frame) => {
      start(wire);
      const part = Buffer.alloc(framePayloadBytesMax);
      while (!wire.socket.destroyed) {
        wire.send(FrameType.result, part, frame.id, FrameFlag.more);
        await wire.drained();
      }
    }),
  "result in crumbs": (wire: Wire) =>
    serve(wire, (frame) => {
      start(wire);
      wire.send(FrameType.result, Buffer.from("x"), frame.id, FrameFlag.more);
    }),
  "errors of another code": (wire: Wire) =>
    serve(wire, (frame) => {
      start(wire);
      const failure = Buffer.concat([Buffer.from([0, 0, 0, 0, 0xff, 0xff]), Buffer.alloc(50_000, "\r\n")]);
      wire.send(FrameType.result, failure, frame.id, FrameFlag.error);
    }),
  "calls never begun": (wire: Wire) => serve(wire, () => undefined),
  "silence after a call began": (wire: Wire) => serve(wire, () => start(wire)),
  "nothing read": async (wire: Wire) => {
    await wire.run();
    wire.socket.pause();
  },
};
