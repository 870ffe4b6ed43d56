/** Agents that are ready, and then don't take a workload as they should. */
import { setTimeout as delay } from "node:timers/promises";
import { FrameType } from "@nexengine/protocol/agent";
import type { Wire } from "./wire.ts";

/** As long as a node of these tests lives, and longer than it waits for anything. */
const longMs = 50_000;

async function exitSoon(wire: Wire, code: number): Promise<void> {
  wire.sendJson(FrameType.exited, { code });
  await delay(longMs);
}

export const deployActions = {
  "silent deploy": async (wire: Wire) => {
    await wire.order();
  },
  "artifact unread": async (wire: Wire) => {
    await wire.greet();
    wire.socket.pause();
  },
  "deployed of another shape": async (wire: Wire) => {
    await wire.order();
    wire.sendJson(FrameType.deployed, { accepted: "yes" });
  },
  "boundless concurrency": async (wire: Wire) => {
    await wire.order();
    wire.sendJson(FrameType.deployed, { accepted: true, concurrency: 1e9 });
  },
  "long refusal": async (wire: Wire) => {
    await wire.order();
    wire.sendJson(FrameType.deployed, { accepted: false, message: "x".repeat(40_000) });
  },
  "credit overflow": async (wire: Wire) => {
    const credit = Buffer.alloc(4, 0xff);
    await wire.greet();
    for (let grant = 0; grant < 1_000; grant++) wire.send(FrameType.credit, credit);
    wire.send(FrameType.credit);
    await wire.first(FrameType.deploy);
    wire.accept();
    await exitSoon(wire, 0);
  },
  "answers twice": async (wire: Wire) => {
    await wire.order();
    for (let answer = 0; answer < 100; answer++) {
      wire.hello();
      wire.accept();
    }
    wire.sendJson(FrameType.deployed, { accepted: false });
    await exitSoon(wire, 4);
  },
  "end in one breath": async (wire: Wire) => {
    await wire.order();
    wire.socket.cork();
    wire.accept();
    wire.sendJson(FrameType.exited, { code: 5 });
    wire.socket.uncork();
    await delay(longMs);
  },
};
