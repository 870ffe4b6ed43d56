/** Opens the agent's ends of both channels, as the boot arguments say. */
import { once } from "node:events";
import { connect, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { NexError } from "@nexengine/protocol/errors";
import { AcceptedChannels } from "./accepted-channels.ts";
import { fifoCalls, inheritedCalls, type OpenCalls } from "./call-channel.ts";
import { portCalls } from "./port-calls.ts";
import { FramePort } from "./port-frames.ts";
import { EpochHeader, portStream } from "./serial-port.ts";

/** Process machines hand over both channels as open descriptors. */
const framesFd = 3;
/** The name of the socket in the directory of `connect`. */
const framesName = "frames.sock";
/** An absent node is looked for so often, first and later. */
const retryFirstMs = 10;
const retryLaterMs = 100;
/** After this time `later` begins. */
const retryFirstForMs = 2_000;

/** Options that the host gives to a machine whose node can be away. */
export interface ChannelOptions {
  /** A node may stay away so long. */
  nodeLostTimeoutMs: number;
}

/** The channels of an agent's life. */
export interface AgentChannels {
  /** The frame channels, one after the other. Ends when the node stays away. */
  frames: AsyncIterable<Duplex>;
  /** Opens the channel of blocking calls of an epoch whose frames have begun. */
  openCalls: OpenCalls;
}

/**
 * Opens channels. `fd` takes those that were inherited. `connect:<directory>` makes new connections and FIFOs whenever
 * the previous ones have ended. `port:<directory>` starts new epochs of serial ports. `sockets:<directory>` accepts the
 * host's connections on listening sockets that were inherited.
 *
 * @param kind The value of `--channels`.
 * @throws NexError `usage`
 */
export function openChannels(kind: string, { nodeLostTimeoutMs }: ChannelOptions): AgentChannels {
  if (kind === "fd") return { frames: inherited(), openCalls: inheritedCalls };
  const [, form, directory] = /^(connect|port|sockets):(.+)$/.exec(kind) ?? [];
  if (directory === undefined) throw new NexError("usage", `Cannot open channels of the kind "${kind}"`);
  if (form === "port")
    return { frames: portEpochs(directory, nodeLostTimeoutMs), openCalls: portCalls(directory) };
  if (form === "sockets") {
    const accepted = new AcceptedChannels(directory);
    return {
      frames: accepted.frames(nodeLostTimeoutMs),
      openCalls: (epoch) => accepted.openCalls(epoch),
    };
  }
  return {
    frames: connections(`${directory}/${framesName}`, nodeLostTimeoutMs),
    openCalls: fifoCalls(directory),
  };
}

async function* inherited(): AsyncGenerator<Duplex> {
  yield new Socket({ fd: framesFd, readable: true, writable: true, allowHalfOpen: false });
}

async function* connections(path: string, nodeLostTimeoutMs: number): AsyncGenerator<Duplex> {
  let lostAtMs = performance.now();
  for (;;) {
    const frames = await connected(path);
    if (frames !== undefined) {
      let spoken = false;
      frames.once("data", () => {
        spoken = true;
      });
      yield frames;
      // A connection that nobody ever spoke on was no node's.
      if (spoken) lostAtMs = performance.now();
    }
    if (!(await waitForNode(lostAtMs, nodeLostTimeoutMs))) return;
  }
}

/** The epochs of a serial port, which is opened again whenever its host has gone. */
async function* portEpochs(directory: string, nodeLostTimeoutMs: number): AsyncGenerator<Duplex> {
  let lostAtMs = performance.now();
  let epoch = 0;
  const header = new EpochHeader(directory);
  for (;;) {
    const port = new FramePort(portStream(`${directory}/frames`), header, epoch);
    const leftMs = (): number => nodeLostTimeoutMs - (performance.now() - lostAtMs);
    for (let frames = await port.next(leftMs()); frames; frames = await port.next(leftMs())) {
      yield frames;
      lostAtMs = performance.now();
    }
    epoch = port.epoch;
    port.close();
    if (!(await waitForNode(lostAtMs, nodeLostTimeoutMs))) return;
  }
}

/** Waits before the next attempt. @returns whether the node may still come. */
async function waitForNode(lostAtMs: number, nodeLostTimeoutMs: number): Promise<boolean> {
  const awayMs = performance.now() - lostAtMs;
  if (awayMs >= nodeLostTimeoutMs) return false;
  await delay(awayMs < retryFirstForMs ? retryFirstMs : retryLaterMs);
  return true;
}

async function connected(path: string): Promise<Socket | undefined> {
  const socket = connect({ path, allowHalfOpen: false });
  try {
    await once(socket, "connect");
    return socket;
  } catch {
    socket.destroy();
    return undefined;
  }
}
