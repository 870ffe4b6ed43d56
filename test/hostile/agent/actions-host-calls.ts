/** Agents that abuse the host services. */
import {
  encodeHostCall,
  FrameFlag,
  FrameType,
  framePayloadBytesMax,
  HostMethod,
} from "@nexengine/protocol/agent";
import type { Wire } from "./wire.ts";

const floodCalls = 2_000;

function framed(length: number, id: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(length, 0);
  head.writeUInt32LE(id, 4);
  return Buffer.concat([head, body]);
}

const call = encodeHostCall(HostMethod.request, [
  Buffer.from("nobody.answers"),
  Buffer.from("x"),
  Buffer.alloc(0),
]);

const largeCalls = 64;

/** A call of 7 MiB that takes the node a while, in frames. */
function* largeCall(id: number): Generator<Buffer> {
  const body = encodeHostCall(HostMethod.objectPut, [
    Buffer.from(`large-${id}`),
    Buffer.alloc(7 * 1_048_576),
  ]);
  for (let at = 0; at < body.length; at += framePayloadBytesMax)
    yield body.subarray(at, at + framePayloadBytesMax);
}

export const hostCallActions = {
  "large host calls": async (wire: Wire) => {
    const answered = Promise.withResolvers<void>();
    let answers = 0;
    wire.onFrame = ({ type }) => {
      if (type === FrameType.hostReply && ++answers === largeCalls) answered.resolve();
    };
    await wire.run();
    for (let id = 1; id <= largeCalls; id++) {
      const parts = [...largeCall(id)];
      for (const [at, part] of parts.entries()) {
        wire.send(FrameType.hostCall, part, id, at + 1 < parts.length ? FrameFlag.more : 0);
        await wire.drained();
      }
    }
    await answered.promise;
    wire.log("held each is answered");
  },
  "host call before the deploy": async (wire: Wire) => {
    await wire.greet();
    wire.send(FrameType.hostCall, call, 1);
  },
  "endless host call": async (wire: Wire) => {
    await wire.run();
    wire.block(framed(0xffff_ffff, 1, call));
  },
  "two blocking host calls": async (wire: Wire) => {
    await wire.run();
    wire.block(Buffer.concat([framed(call.length + 4, 1, call), framed(call.length + 4, 2, call)]));
  },
  "malformed host call": async (wire: Wire) => {
    await wire.run();
    wire.send(FrameType.hostCall, Buffer.from([HostMethod.kvGet, 3, 255, 255, 255, 255]), 1);
  },
  "flood of host calls": async (wire: Wire) => {
    await wire.run();
    const frames = Array.from({ length: floodCalls }, (_, id) => {
      const head = Buffer.alloc(12);
      head.writeUInt32LE(8 + call.length, 0);
      head[4] = FrameType.hostCall;
      head.writeUInt32LE(id, 8);
      return Buffer.concat([head, call]);
    });
    // In one piece, so that they come before any is answered.
    wire.raw(Buffer.concat(frames));
  },
};
