/** Agents that misuse the relay to the NATS servers. */
import { FrameType, framePayloadBytesMax, relayWindowBytes } from "@nexengine/protocol/agent";
import type { Wire } from "./wire.ts";

const overrunsMax = 1_000;
const streamsWanted = 5_000;
const burst = 100;

function open(wire: Wire, id: number, target = 0): void {
  const payload = Buffer.alloc(2);
  payload.writeUInt16LE(target);
  wire.send(FrameType.agentRelayOpen, payload, id);
}

export const relayActions = {
  "relay unasked": async (wire: Wire) => {
    await wire.run();
    open(wire, 2);
  },
  "relay before the deploy": async (wire: Wire) => {
    await wire.first(FrameType.attach);
    open(wire, 2);
    wire.hello();
  },
  "relay to nowhere": async (wire: Wire) => {
    await wire.run();
    for (const target of [1, 64, 65_535]) open(wire, 2 * (target + 1), target);
    await wire.first(FrameType.nodeRelayReset);
    wire.log("held reset");
  },
  "relay by another's ids": async (wire: Wire) => {
    await wire.run();
    open(wire, 1);
  },
  "relay by one id twice": async (wire: Wire) => {
    await wire.run();
    open(wire, 2);
    open(wire, 2);
  },
  "relay beyond the window": async (wire: Wire) => {
    await wire.run();
    // A server that takes all at once gives credit for all: so again, until one has not been connected to in time.
    for (let stream = 1; stream <= overrunsMax; stream++) {
      open(wire, 2 * stream);
      for (let sent = 0; sent < 2 * relayWindowBytes; sent += framePayloadBytesMax) {
        wire.send(FrameType.agentRelayData, Buffer.alloc(framePayloadBytesMax), 2 * stream);
      }
      await wire.drained();
    }
  },
  "relay of nothing": async (wire: Wire) => {
    await wire.run();
    for (const type of [FrameType.agentRelayData, FrameType.agentRelayEnd, FrameType.agentRelayReset]) {
      wire.send(type, Buffer.alloc(1_000), 77);
    }
    wire.send(FrameType.agentRelayCredit, Buffer.alloc(4, 0xff), 77);
    wire.send(FrameType.agentRelayCredit, Buffer.alloc(1), 77);
    wire.log("held nobody hears");
  },
  "thousands of streams": async (wire: Wire) => {
    let resets = 0;
    wire.onFrame = ({ type }) => {
      if (type !== FrameType.nodeRelayReset || ++resets !== streamsWanted - 4_096) return;
      wire.log(`held ${resets} are refused`);
    };
    await wire.run();
    for (let stream = 1; stream <= streamsWanted; stream++) {
      open(wire, 2 * stream);
      if (stream % burst === 0) await wire.drained();
    }
  },
};
