/** Agents that get calls of a function. */
import { setTimeout as delay } from "node:timers/promises";
import { FrameFlag, FrameType, framePayloadBytesMax, parseInvocation } from "@nexengine/protocol/internal";
import type { Frame, Wire } from "./wire.ts";

const forgeriesMax = 2_000;

/** Answers each call with its own payload, as soon as the handler has done what it wants. */
async function serve(wire: Wire, deed: (frame: Frame) => Promise<void> | void): Promise<void> {
  wire.onFrame = (frame) => {
    if (frame.type === FrameType.invoke) void deed(frame);
  };
  await wire.run();
}

function start(wire: Wire, { id }: Frame): void {
  wire.send(FrameType.started, undefined, id);
}

function reply(wire: Wire, frame: Frame): void {
  wire.send(FrameType.result, parseInvocation(frame.payload).payload, frame.id);
}

export const functionDeeds = {
  "forged results": (wire: Wire) =>
    serve(wire, (frame) => {
      for (let forgery = 0; forgery < forgeriesMax; forgery++) {
        const id = forgery % 2 ? forgery : Math.floor(Math.random() * 2 ** 32);
        if (id === frame.id) continue;
        wire.send(FrameType.started, undefined, id);
        wire.send(FrameType.result, Buffer.from("forged"), id);
        wire.send(FrameType.pong, undefined, id);
      }
      start(wire, frame);
      reply(wire, frame);
    }),
  "results twice": (wire: Wire) =>
    serve(wire, (frame) => {
      start(wire, frame);
      reply(wire, frame);
      for (let again = 0; again < 10; again++) {
        start(wire, frame);
        wire.send(FrameType.result, Buffer.from("again"), frame.id);
        wire.send(FrameType.result, Buffer.from([0, 0]), frame.id, FrameFlag.error);
      }
    }),
  "late results": (wire: Wire) =>
    serve(wire, async (frame) => {
      start(wire, frame);
      if (parseInvocation(frame.payload).payload.toString() === "late") await delay(1_500);
      reply(wire, frame);
    }),
  "result without end": (wire: Wire) =>
    serve(wire, async (frame) => {
      start(wire, frame);
      const part = Buffer.alloc(framePayloadBytesMax);
      while (!wire.socket.destroyed) {
        wire.send(FrameType.result, part, frame.id, FrameFlag.more);
        await wire.drained();
      }
    }),
  "result in crumbs": (wire: Wire) =>
    serve(wire, (frame) => {
      start(wire, frame);
      wire.send(FrameType.result, Buffer.from("x"), frame.id, FrameFlag.more);
    }),
  "errors of another code": (wire: Wire) =>
    serve(wire, (frame) => {
      start(wire, frame);
      const failure = Buffer.concat([Buffer.from([0xff, 0xff]), Buffer.alloc(50_000, "\r\n")]);
      wire.send(FrameType.result, failure, frame.id, FrameFlag.error);
    }),
  "calls never begun": (wire: Wire) => serve(wire, () => undefined),
  "silence after a call began": (wire: Wire) => serve(wire, (frame) => start(wire, frame)),
  "nothing read": async (wire: Wire) => {
    await wire.run();
    wire.socket.pause();
  },
};
