/** Agents whose workload runs, as far as the node knows. */
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import {
  FrameFlag,
  FrameType,
  frameHeaderBytes,
  framePayloadBytesMax,
  logLineBytesMax,
} from "@nexengine/protocol/agent";
import type { Wire } from "./wire.ts";

const floodLines = 100_000;
export const smallFrames = 300_000;

function frame(type: number): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes);
  bytes.writeUInt32LE(frameHeaderBytes - 4, 0);
  bytes[4] = type;
  return bytes;
}

export const runningActions = {
  "frames of a node": async (wire: Wire) => {
    await wire.run();
    wire.sendJson(FrameType.deploy, { type: "native" });
  },
  "level of no log": async (wire: Wire) => {
    await wire.run();
    wire.log("x", 77);
  },
  "log line too long": async (wire: Wire) => {
    await wire.run();
    wire.log("x".repeat(logLineBytesMax + 1));
  },
  "log line without end": async (wire: Wire) => {
    await wire.run();
    for (;;) {
      wire.send(FrameType.log, Buffer.alloc(framePayloadBytesMax, 1), 0, FrameFlag.more);
      await wire.drained();
    }
  },
  "flood of log frames": async (wire: Wire) => {
    await wire.run();
    for (let line = 0; line < floodLines; line++) {
      wire.log(`${line} `.padEnd(500, "x"));
      await wire.drained();
    }
    await delay(1_100);
    wire.log("over");
    wire.sendJson(FrameType.exited, { code: 0 });
  },
  "flood of empty lines": async (wire: Wire) => {
    await wire.run();
    for (let line = 0; line < floodLines; line++) {
      wire.log("");
      await wire.drained();
    }
    await delay(1_100);
    wire.log("over");
    wire.sendJson(FrameType.exited, { code: 0 });
  },
  "flood of small frames": async (wire: Wire) => {
    await wire.run();
    // Many in one write, as one who wants to keep a node busy sends them.
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => frame(FrameType.credit)));
    const beganMs = performance.now();
    for (let sent = 0; sent < smallFrames; sent += 1_000) {
      wire.raw(many);
      await wire.drained();
    }
    wire.log(`sent in ${Math.round(performance.now() - beganMs)} ms`);
    wire.sendJson(FrameType.exited, { code: 0 });
  },
  "exit of another shape": async (wire: Wire) => {
    await wire.run();
    wire.sendJson(FrameType.exited, { code: 9_999, signal: "x".repeat(500) });
  },
  "many exits": async (wire: Wire) => {
    await wire.run();
    for (let exit = 0; exit < 1_000; exit++) wire.sendJson(FrameType.exited, { code: exit % 200 });
  },
  "silent undeploy": async (wire: Wire) => {
    await wire.run();
    wire.log("ready");
  },
  "channel let go": async (wire: Wire) => {
    await wire.run();
    wire.socket.destroy();
  },
  "console flood": async (wire: Wire) => {
    await wire.run();
    const block = Buffer.alloc(65_536, "x");
    for (let written = 0; written < 512; written++) writeAll(block);
    wire.sendJson(FrameType.exited, { code: 0 });
  },
  "children left": async (wire: Wire) => {
    await wire.run();
    for (let child = 0; child < 4; child++) {
      spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], {
        detached: true,
        stdio: "ignore",
      }).unref();
    }
    await delay(100);
    process.exit(6);
  },
};

/** The console is a FIFO, which says so when it is full. */
function writeAll(block: Buffer): void {
  try {
    writeSync(1, block);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
  }
}
