/** Agents that never become ready. */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { FrameFlag, FrameType, framePayloadBytesMax } from "@nexengine/protocol/agent";
import type { Wire } from "./wire.ts";

const dripMs = 50;

/** The length of a frame, and nothing of it. */
function length(bytes: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(bytes);
  return head;
}

export const helloActions = {
  garbage: async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.raw(randomBytes(100_000));
  },
  "huge frame": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.raw(length(0xffff_ffff));
  },
  "empty frame": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.raw(length(0));
  },
  "unknown type": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.send(200);
  },
  "other protocol": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.hello({ protocol: 99 });
  },
  "hello of another shape": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.sendJson(FrameType.hello, { protocol: 1, providers: "x".repeat(1_000) });
  },
  "hello that is no JSON": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.send(FrameType.hello, Buffer.from('{"protocol":1'));
  },
  "hello without end": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    for (;;) {
      wire.send(FrameType.hello, Buffer.alloc(framePayloadBytesMax, 32), 0, FrameFlag.more);
      await wire.drained();
    }
  },
  "silent hello": async () => undefined,
  "hello by drips": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    for (const byte of length(1_000)) {
      wire.raw(Buffer.from([byte]));
      await delay(dripMs);
    }
  },
  "hanging up": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    wire.socket.destroy();
  },
  "dying early": async () => process.exit(3),
};
