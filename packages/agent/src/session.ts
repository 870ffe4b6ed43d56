/** The agent's side of the frame channel: handshake, deploy, calls, end. */
import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import type { Duplex } from "node:stream";
import {
  type Attach,
  agentProtocolVersion,
  breakOff,
  CallError,
  type CallFailure,
  callErrorTextBytesMax,
  type Deploy,
  type Deployed,
  type Exited,
  FrameConnection,
  FrameFlag,
  FrameType,
  type Hello,
  logLineBytesMax,
  PayloadAssembler,
  Relay,
  readInvocation,
  sendCallFailure,
  sendResult,
  type Undeploy,
} from "@nexengine/protocol/agent";
import { errorText } from "@nexengine/protocol/errors";
import { ArtifactFile } from "./artifact-file.ts";
import type { OpenCalls } from "./channels/call-channel.ts";
import { HostCalls } from "./host-calls.ts";
import { LogLevel, type Provider, type ProviderHost, type RunningWorkload } from "./provider.ts";
import { fillRandom } from "./random.ts";
import { listenForRelay } from "./relay-listeners.ts";
import { UnheardLines } from "./unheard-lines.ts";

/** A node may send payloads up to this size; it has held its own limits already. */
const payloadBytesMax = 256 * 1024 * 1024;

/** Why a channel of an agent ends: its last request was met, or the node is away. */
export type ChannelEnd = "undeployed" | "node_gone";

/** One agent: one channel after the other to its node, and at most one workload, ever. */
export class Session implements ProviderHost {
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly hostCalls: HostCalls;
  /** Made when a node first asks: the copies of a machine are not the same agent. */
  #instance: string | undefined;
  readonly #artifact: ArtifactFile;
  #connection: FrameConnection | undefined;
  #relay: Relay | undefined;
  /** The ports that the node may connect to. */
  #ports: readonly number[] = [];
  #invocations = new PayloadAssembler(payloadBytesMax);
  #requests = new PayloadAssembler(payloadBytesMax);
  #end = Promise.withResolvers<ChannelEnd>();
  #undeployed = false;
  #lastEpoch = 0;
  /** Calls of this epoch, in 32 bits. */
  #given = 0;
  #workload: RunningWorkload | undefined;
  /** Id of the workload that was started. */
  #workloadId: string | undefined;
  /** How the workload exited by itself. */
  #exit: Exited | undefined;
  #deploying = false;
  #prepared = false;
  #drain: PromiseWithResolvers<void> | undefined;
  /** Lines of the workload since its node has gone. */
  readonly #unheard = new UnheardLines();

  /**
   * @param directory Where the artifact is put.
   * @param openCalls How the channel of blocking calls is had.
   */
  constructor(providers: ReadonlyMap<string, Provider>, directory: string, openCalls: OpenCalls) {
    this.#providers = providers;
    this.hostCalls = new HostCalls(openCalls);
    this.#artifact = new ArtifactFile(resolve(directory, "artifact"), (bytes) => this.#grant(bytes));
  }

  /** Speaks with a node over a channel, until that has ended or nothing is left to do. */
  async serve(frames: Duplex): Promise<ChannelEnd> {
    const end = Promise.withResolvers<ChannelEnd>();
    this.#end = end;
    this.#invocations = new PayloadAssembler(payloadBytesMax);
    this.#requests = new PayloadAssembler(payloadBytesMax);
    const connection = new FrameConnection(frames, {
      frame: (type, flags, id, payload) => this.#take(type, flags, id, payload),
      hotFrame: (type, flags, id, bytes, start, end) => {
        if (type !== FrameType.invoke || (flags & FrameFlag.more) !== 0 || !this.#invocations.empty)
          return false;
        this.#invoke(flags, id, bytes, start, end);
        return true;
      },
      batchEnd: () => this.#workload?.batchEnd?.(),
      end: () => {
        relay.close();
        this.hostCalls.detach();
        this.#release();
        end.resolve("node_gone");
      },
      drain: () => {
        relay.drained();
        this.hostCalls.drained();
        this.#release();
      },
    });
    const relay = new Relay(connection, {
      side: "agent",
      accept: (target) => this.#connect(target),
      abort: (socket) => breakOff(socket as Socket),
    });
    this.#connection = connection;
    this.#relay = relay;
    this.#given = 0;
    return await end.promise;
  }

  /** Has the node ended the workload? */
  get undeployed(): boolean {
    return this.#undeployed;
  }

  /** Connects the node to a port of the workload. */
  #connect(target: number): Socket | undefined {
    const port = this.#ports[target];
    return port === undefined
      ? undefined
      : connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
  }

  /** Whoever waits for a reading node waits no longer. */
  #release(): void {
    this.#drain?.resolve();
    this.#drain = undefined;
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case FrameType.invoke: {
        const whole = this.#invocations.add(flags, id, payload);
        if (whole !== undefined) this.#invoke(flags, id, whole, 0, whole.length);
        return;
      }
      case FrameType.cancel:
        this.#invocations.drop(id);
        this.#workload?.cancel?.(id);
        return;
      case FrameType.hostReply:
        this.hostCalls.take(flags, id, payload);
        return;
      case FrameType.ping:
        this.#connection?.send(FrameType.pong, 0, id);
        this.#connection?.flush();
        return;
      case FrameType.artifact:
        this.#artifact.write(payload, (flags & FrameFlag.more) !== 0);
        return;
      default: {
        if (this.#relay?.take(type, id, payload)) return;
        const whole = this.#requests.add(flags, type, payload);
        if (whole !== undefined) this.#request(type, whole);
      }
    }
  }

  #request(type: number, payload: Buffer): void {
    const body: unknown = JSON.parse(payload.toString());
    if (type === FrameType.attach) this.#attach(body as Attach);
    else if (type === FrameType.welcome) setImmediate(() => this.#prepare());
    else if (type === FrameType.deploy) void this.#deploy(body as Deploy);
    else if (type === FrameType.undeploy) void this.#undeploy(body as Undeploy);
  }

  #attach(attach: Attach): void {
    this.#instance ??= instanceMark();
    const hello: Hello = {
      protocol: agentProtocolVersion,
      instance: this.#instance,
      lastEpoch: this.#lastEpoch,
      providers: [...this.#providers.keys()],
      ...this.#running(),
    };
    this.#lastEpoch = attach.epoch;
    // The calls of an earlier epoch are nobody's, and their ids are given again.
    this.#workload?.reset?.();
    if (this.#connection !== undefined) this.hostCalls.attach(this.#connection, attach.epoch);
    // Before the hello, which tells an exit: the lines of a workload come before its end.
    for (const { level, text } of this.#unheard.take()) this.log(level, text);
    this.#connection?.sendJson(FrameType.hello, hello);
  }

  #running(): Pick<Hello, "running"> {
    const workload = this.#workload;
    if (workload === undefined || this.#workloadId === undefined) return {};
    const { concurrency } = workload;
    return {
      running: {
        workloadId: this.#workloadId,
        ...(concurrency === undefined ? {} : { concurrency }),
        ...(this.#exit === undefined ? {} : { exit: this.#exit }),
      },
    };
  }

  /** The machine is ready: what is made now, no deploy waits for. */
  #prepare(): void {
    if (this.#prepared || this.#deploying) return;
    this.#prepared = true;
    for (const provider of this.#providers.values()) provider.prepare?.(this);
  }

  async #deploy(deploy: Deploy): Promise<void> {
    const answer = await this.#start(deploy);
    this.#connection?.sendJson(FrameType.deployed, answer);
  }

  async #start(deploy: Deploy): Promise<Deployed> {
    const provider = this.#providers.get(deploy.type);
    if (this.#deploying) return { accepted: false, message: "this machine has run a workload already" };
    if (provider === undefined)
      return { accepted: false, message: `this agent has no provider for ${deploy.type}` };
    if (this.#artifact.failure !== undefined) {
      return {
        accepted: false,
        message: `the artifact can't be kept in the machine: ${this.#artifact.failure}`,
      };
    }
    if (!this.#artifact.complete || this.#artifact.bytes !== deploy.artifactBytes) {
      return { accepted: false, message: "the artifact did not arrive whole" };
    }
    this.#deploying = true;
    this.#ports = deploy.ports ?? [];
    try {
      await this.#listen(deploy);
      this.#workload = await provider.start(deploy, this.#artifact.path, this);
      this.#workloadId = deploy.workloadId;
      const { concurrency } = this.#workload;
      return { accepted: true, ...(concurrency === undefined ? {} : { concurrency }) };
    } catch (error) {
      return { accepted: false, message: errorText(error).slice(0, callErrorTextBytesMax) };
    }
  }

  async #listen({ listen = [] }: Deploy): Promise<void> {
    const failures = await listenForRelay(listen, (socket, target) => {
      if (this.#relay === undefined) socket.destroy();
      else this.#relay.carry(socket, target);
    });
    for (const failure of failures) this.log(LogLevel.warn, failure);
  }

  async #undeploy({ graceMs }: Undeploy): Promise<void> {
    const exit = (await this.#workload?.stop(graceMs)) ?? {};
    this.exited(exit);
    this.#undeployed = true;
    this.#end.resolve("undeployed");
  }

  #invoke(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    this.#given = (this.#given + 1) >>> 0;
    if (this.#workload?.invoke === undefined) {
      this.failure(id, { code: CallError.stopped, text: "no function runs in this machine" }, 0);
      return;
    }
    this.#workload.invoke(id, this.#given, readInvocation(flags, bytes, start, end));
  }

  #grant(bytes: number): void {
    const credit = Buffer.alloc(4);
    credit.writeUInt32LE(bytes);
    this.#connection?.send(FrameType.credit, 0, 0, credit);
  }

  log(level: LogLevel, text: string): boolean {
    const connection = this.#connection;
    if (connection === undefined || connection.ended) {
      this.#unheard.add(level, text);
      return true;
    }
    let hasRoom = true;
    for (const line of linesOf(text)) {
      hasRoom = connection.sendLong(
        FrameType.log,
        0,
        0,
        Buffer.concat([Buffer.from([level]), Buffer.from(line)]),
      );
    }
    return hasRoom;
  }

  drained(): Promise<void> {
    if (!this.#connection?.congested || this.#connection.ended) return Promise.resolve();
    this.#drain ??= Promise.withResolvers<void>();
    return this.#drain.promise;
  }

  get unsent(): boolean {
    return this.#connection?.unsent ?? false;
  }

  flush(): void {
    this.#connection?.flush();
  }

  began(sequence: number): void {
    this.#connection?.send(FrameType.began, 0, sequence);
  }

  window(calls: number): void {
    this.#connection?.send(FrameType.window, 0, calls);
  }

  result(callId: number, runTicks: number, payload: Uint8Array, headers: Uint8Array): void {
    if (this.#connection !== undefined) sendResult(this.#connection, callId, runTicks, payload, headers);
  }

  failure(callId: number, failure: CallFailure, runTicks: number): void {
    if (this.#connection !== undefined) sendCallFailure(this.#connection, callId, failure, runTicks);
  }

  exited(exit: Exited): void {
    this.#exit = exit;
    this.#connection?.sendJson(FrameType.exited, exit);
  }

  /** Lets what was written go out, then ends the channel. */
  close(): void {
    this.#connection?.close();
  }

  /** Ends the workload at once: its node is gone. */
  async abandon(): Promise<void> {
    await this.#workload?.stop(0);
  }
}

/** A text as lines that a node takes: a character has up to four bytes, so a quarter of the limit always fits. */
function linesOf(text: string): string[] {
  const charactersMax = logLineBytesMax / 4;
  if (text.length <= charactersMax) return [text];
  const count = Math.ceil(text.length / charactersMax);
  return Array.from({ length: count }, (_, at) => text.slice(at * charactersMax, (at + 1) * charactersMax));
}

function instanceMark(): string {
  const bytes = Buffer.alloc(8);
  fillRandom(bytes);
  return bytes.toString("hex");
}
