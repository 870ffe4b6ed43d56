/** The agent's end of both channels, for agents that don't keep to them. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { agentProtocolVersion, FrameDecoder, FrameType, frameHeaderBytes } from "@nexengine/protocol/agent";
import type { OpenCalls } from "../../../packages/agent/src/channels/call-channel.ts";
import { openChannels } from "../../../packages/agent/src/channels/channels.ts";

const nodeLostTimeoutMs = 60_000;
/** A hostile agent does not live longer. */
const epoch = 1;
const noBytes = Buffer.alloc(0);

export interface Frame {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

export class Wire {
  readonly socket: Duplex;
  readonly #openCalls: OpenCalls;
  readonly #waits = new Map<number, PromiseWithResolvers<Frame>>();
  /** Sees every frame of the node. */
  onFrame: (frame: Frame) => void = () => undefined;

  private constructor(socket: Duplex, openCalls: OpenCalls) {
    this.socket = socket;
    this.#openCalls = openCalls;
    const decoder = new FrameDecoder((type, flags, id, payload) => {
      const frame = { type, flags, id, payload: Buffer.from(payload) };
      this.onFrame(frame);
      this.#wait(type).resolve(frame);
    });
    socket.on("data", (bytes: Buffer) => decoder.push(bytes));
    socket.on("error", () => undefined);
  }

  /** @param channels As the agent is told to open them. */
  static async open(channels: string): Promise<Wire> {
    const { frames, openCalls } = openChannels(channels, { nodeLostTimeoutMs });
    for await (const socket of frames) return new Wire(socket, openCalls);
    throw new Error("the node stays away");
  }

  #wait(type: number): PromiseWithResolvers<Frame> {
    const wait = this.#waits.get(type) ?? Promise.withResolvers<Frame>();
    this.#waits.set(type, wait);
    return wait;
  }

  /** The first frame of a type. */
  first(type: number): Promise<Frame> {
    return this.#wait(type).promise;
  }

  /** Writes to the channel of blocking calls. */
  block(bytes: Buffer): void {
    this.#openCalls(epoch).write(bytes);
  }

  raw(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  send(type: number, payload: Uint8Array = noBytes, id = 0, flags = 0): void {
    const head = Buffer.alloc(frameHeaderBytes);
    head.writeUInt32LE(frameHeaderBytes - 4 + payload.length, 0);
    head[4] = type;
    head[5] = flags;
    head.writeUInt32LE(id >>> 0, 8);
    this.socket.write(Buffer.concat([head, payload]));
  }

  sendJson(type: number, value: unknown): void {
    this.send(type, Buffer.from(JSON.stringify(value)));
  }

  /** Waits until what was written is on its way, so that no flood fills this process. */
  async drained(): Promise<void> {
    if (this.socket.writableNeedDrain) await once(this.socket, "drain");
  }

  hello(change: object = {}): void {
    const hello = {
      protocol: agentProtocolVersion,
      instance: "hostile",
      lastEpoch: 0,
      providers: ["native", "v8"],
    };
    this.sendJson(FrameType.hello, { ...hello, ...change });
  }

  /** As a good agent says it. */
  async greet(): Promise<void> {
    await this.first(FrameType.attach);
    this.hello();
  }

  /** @returns what is to be deployed. */
  async order(): Promise<{ type: string; environment: Record<string, string> }> {
    await this.greet();
    const { payload } = await this.first(FrameType.deploy);
    return JSON.parse(payload.toString()) as { type: string; environment: Record<string, string> };
  }

  accept(): void {
    this.sendJson(FrameType.deployed, { accepted: true, concurrency: 8 });
  }

  /** Runs what was deployed, as far as its node knows. */
  async run(): Promise<void> {
    await this.order();
    this.accept();
  }

  log(text: string, level = 1): void {
    this.send(FrameType.log, Buffer.concat([Buffer.from([level]), Buffer.from(text)]));
  }
}
