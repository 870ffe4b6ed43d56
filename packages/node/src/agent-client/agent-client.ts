/** The node's end of a machine's frame channel. It trusts nothing that an agent sends. */
import { open } from "node:fs/promises";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  agentProtocolVersion,
  artifactWindowBytes,
  breakOff,
  CallError,
  checkHeaderBlock,
  type Deploy,
  type Deployed,
  deployedSchema,
  type Exited,
  exitedSchema,
  FrameConnection,
  FrameFlag,
  FrameType,
  framePayloadBytesMax,
  type Hello,
  helloSchema,
  logLineBytesMax,
  PayloadAssembler,
  parseCallFailure,
  Relay,
  type ReplyView,
  readResult,
  readU32,
  sendInvocation,
  type Welcome,
} from "@nexengine/protocol/agent";
import { NexError } from "@nexengine/protocol/errors";
import { checkJson } from "@nexengine/protocol/formats";
import { type LogLevel, logLevels } from "@nexengine/protocol/messages";
import type { MachineShares } from "../budget/budget.ts";
import { type AgentCall, AgentCalls } from "./calls.ts";
import { HostCalls } from "./host-calls.ts";
import { createDialer } from "./relay-dial.ts";
import type { RelayTarget } from "./relay-plan.ts";
import { probe } from "./relay-probe.ts";
import { Waits } from "./waits.ts";

/** Maximum size of a JSON message of an agent. */
const messageBytesMax = 65_536;
/** Maximum size of all unfinished replies together. */
const repliesBytesMax = 128 * 1024 * 1024;
/** Up to this many pending bytes, a call needs no check against the budget: it fits the machine's guaranteed share. */
const callsPendingBytesFree = 256 * 1024;
/** Above this many pending bytes, an agent gets no further calls. */
const callsPendingBytesMax = 16 * 1024 * 1024;
/** A ping timer that is late by more than this part of its timeout shows that the node itself stood still. */
const lateFactor = 0.25;
/** How often the timeout of a ping is extended for that. */
const pingStretchesMax = 8;
const msPerSecond = 1_000;

/** Reason for the end of a channel without a protocol error. */
export const channelEnded = "its agent ended the channel";

/** Events of an agent. */
export interface AgentEvents {
  log(level: LogLevel, text: string): void;
  /** The workload exited by itself. */
  exited(exit: Exited): void;
  /** The channel has ended; called once. */
  ended(error: NexError | undefined): void;
}

export class AgentClient {
  readonly #connection: FrameConnection;
  readonly #events: AgentEvents;
  /** Calls of a function that the agent has. */
  readonly calls = new AgentCalls();
  readonly hostCalls: HostCalls;
  readonly #replies = new PayloadAssembler(repliesBytesMax);
  readonly #messages = new PayloadAssembler(messageBytesMax);
  readonly #waits = new Waits();
  #relay: Relay | undefined;
  #credit = artifactWindowBytes;
  #creditWait: PromiseWithResolvers<void> | undefined;
  #undeploying = false;
  readonly #shares: MachineShares;
  #nextPing = 1;
  /** Set while nothing is read from an agent that sent too many unsolicited frames. */
  #pause: NodeJS.Timeout | undefined;
  readonly #reply: ReplyView = {
    bytes: Buffer.alloc(0),
    runTicks: 0,
    headersStart: 0,
    payloadStart: 0,
    payloadEnd: 0,
  };
  /** Time at which the current frames were read; 0 when not known yet. */
  #nowMs = 0;

  /**
   * @param shares The machine's shares of the node's budget. They are closed with the channel.
   * @param calls The channel for blocking calls, if the machine has one.
   */
  constructor(frames: Duplex, events: AgentEvents, shares: MachineShares, calls?: Duplex) {
    this.#events = events;
    this.#shares = shares;
    this.#connection = new FrameConnection(
      frames,
      {
        frame: (type, flags, id, payload) => this.#take(type, flags, id, payload),
        hotFrame: (type, flags, id, bytes, start, end) => this.#takeHot(type, flags, id, bytes, start, end),
        batchEnd: () => {
          this.#nowMs = 0;
        },
        end: (error) => this.#end(error),
        drain: () => this.#relay?.drained(),
      },
      shares.heldBytes,
    );
    this.hostCalls = new HostCalls(this.#connection, calls, shares.heldBytes, (error) =>
      this.#connection.close(error),
    );
  }

  /**
   * Starts to relay: the machine's connections to these servers, and the node's connections to the machine's ports.
   * Before this, a relay frame is a protocol violation.
   */
  allowRelay(targets: readonly RelayTarget[]): void {
    this.#relay = new Relay(this.#connection, {
      side: "node",
      accept: createDialer(targets),
      abort: (socket) => breakOff(socket as Socket),
      streams: this.#shares.sockets,
      waiting: this.#shares.heldBytes,
    });
  }

  /** Relays a socket to one of the deploy's ports. */
  carry(socket: Socket, port: number): void {
    if (this.#relay === undefined || this.#connection.ended) socket.destroy();
    else this.#relay.carry(socket, port);
  }

  /**
   * Connects to one of the deploy's ports, and ends the connection.
   *
   * @param signal Ends the attempt.
   * @returns `open`, `closed` when nobody accepts the connection, or `full` when the machine's budget has no stream left
   */
  async probePort(port: number, signal: AbortSignal): Promise<"open" | "closed" | "full"> {
    if (this.#relay === undefined || this.#connection.ended) return "closed";
    if (!this.#shares.sockets.fits(1)) return "full";
    return await probe(this.#relay, port, signal);
  }

  get ended(): boolean {
    return this.#connection.ended;
  }

  /**
   * Starts an epoch: sends attach, and waits for the hello.
   *
   * @throws NexError `timeout`, `agent_protocol`
   */
  async handshake(epoch: number, timeoutMs: number): Promise<Hello> {
    const answer = this.#waits.begin(FrameType.hello, timeoutMs, "hello");
    this.#connection.sendJson(FrameType.attach, { protocol: agentProtocolVersion, epoch });
    const hello = checkJson(await answer, helloSchema, "Cannot attach to an agent: its hello is not valid");
    if (hello.protocol !== agentProtocolVersion) {
      const versions = `the agent speaks ${hello.protocol}, this node ${agentProtocolVersion}`;
      throw new NexError("agent_protocol", `Cannot attach to an agent: ${versions}`);
    }
    this.#connection.sendJson(FrameType.welcome, { epoch } satisfies Welcome);
    return hello;
  }

  /**
   * Sends the artifact and starts the workload.
   *
   * @throws NexError `workload_rejected` with the agent's text, `workload_not_started`
   */
  async deploy(deploy: Deploy, artifactPath: string, timeoutMs: number): Promise<Deployed> {
    const answer = this.#waits.begin(FrameType.deployed, timeoutMs, "answer to the deploy");
    answer.catch(() => undefined);
    const sent = this.#sendArtifact(artifactPath, deploy.artifactBytes, AbortSignal.timeout(timeoutMs));
    sent.catch(() => undefined);
    await Promise.race([sent, answer]);
    this.#connection.sendJson(FrameType.deploy, deploy);
    const deployed = checkJson(
      await answer,
      deployedSchema,
      "Failed to deploy workload: the agent's answer is not valid",
    );
    if (!deployed.accepted) {
      const text = deployed.message ?? "no reason given";
      throw new NexError(
        "workload_rejected",
        `Failed to deploy workload: workload rejected by agent: ${text}`,
      );
    }
    return deployed;
  }

  async #sendArtifact(path: string, bytes: number, signal: AbortSignal): Promise<void> {
    await using file = await open(path, "r");
    const chunk = Buffer.allocUnsafe(framePayloadBytesMax);
    for (let sent = 0; ; ) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length);
      while (this.#credit < bytesRead && !this.#connection.ended) await this.#moreCredit(signal);
      this.#credit -= bytesRead;
      sent += bytesRead;
      const last = sent >= bytes || bytesRead === 0;
      this.#connection.send(FrameType.artifact, last ? 0 : FrameFlag.more, 0, chunk.subarray(0, bytesRead));
      if (last || this.#connection.ended) return;
    }
  }

  async #moreCredit(signal: AbortSignal): Promise<void> {
    const wait = Promise.withResolvers<void>();
    this.#creditWait = wait;
    const late = (): void =>
      wait.reject(
        new NexError(
          "workload_not_started",
          "Failed to deploy workload: the agent takes no more of the artifact",
        ),
      );
    signal.addEventListener("abort", late);
    try {
      await wait.promise;
    } finally {
      signal.removeEventListener("abort", late);
    }
  }

  /** Asks the agent to stop its workload. @returns how it exited, `undefined` without an answer in time. */
  async undeploy(graceMs: number, timeoutMs: number): Promise<Exited | undefined> {
    this.#undeploying = true;
    const answer = this.#waits.begin(FrameType.exited, timeoutMs, "end of the workload");
    this.#connection.sendJson(FrameType.undeploy, { graceMs });
    try {
      return checkJson(await answer, exitedSchema, "Cannot read how a workload ended");
    } catch {
      return undefined;
    }
  }

  /**
   * Sends a call to the agent. Everything is copied before this returns.
   *
   * @returns false when the agent can take no more calls.
   */
  invoke(call: AgentCall, nowMs: number): boolean {
    if (!this.#hasRoom(call.payloadEnd - call.subjectStart)) return false;
    if (this.#connection.ended || !this.calls.add(call, nowMs)) return false;
    sendInvocation(this.#connection, call.id, call);
    return true;
  }

  /** Whether a call of this size fits, given the bytes that the agent has not read. */
  #hasRoom(bytes: number): boolean {
    const { pendingBytes } = this.#connection;
    if (pendingBytes + bytes <= callsPendingBytesFree) return true;
    return pendingBytes <= callsPendingBytesMax && this.#shares.heldBytes.fits(bytes);
  }

  /** Cancels a call. It hears nothing more. */
  cancel(call: AgentCall): void {
    const { id } = call;
    if (this.calls.take(id) === undefined) return;
    this.#shares.heldBytes.give(this.#replies.drop(id));
    this.#connection.send(FrameType.cancel, 0, id);
  }

  /**
   * Checks whether the agent is alive. Time during which the node stood still or did not read does not count.
   *
   * @returns false without an answer in time.
   */
  async ping(timeoutMs: number): Promise<boolean> {
    const id = this.#nextPing++;
    let isAnswered = false;
    const answer = this.#waits.begin(
      FrameType.pong,
      timeoutMs * (pingStretchesMax + 1) + msPerSecond,
      "pong",
      id,
    );
    const settled = answer.then(
      () => {
        isAnswered = true;
      },
      () => undefined,
    );
    this.#connection.send(FrameType.ping, 0, id);
    this.#connection.flush();
    for (let stretch = 0; ; stretch++) {
      const lateMs = await this.#waitAtMost(settled, timeoutMs);
      if (isAnswered || this.#connection.ended) return isAnswered;
      const wasLate = lateMs > timeoutMs * lateFactor || this.#pause !== undefined;
      if (!wasLate || stretch >= pingStretchesMax) {
        this.#waits.drop(FrameType.pong, id);
        return false;
      }
    }
  }

  /**
   * Waits for a promise or a timeout, and then lets arrived input be read: timers run before sockets.
   *
   * @returns by how much the timer was late, in ms.
   */
  async #waitAtMost(settled: Promise<void>, timeoutMs: number): Promise<number> {
    const untilMs = performance.now() + timeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<number>((resolve) => {
      timer = setTimeout(() => {
        const lateMs = performance.now() - untilMs;
        setImmediate(() => setImmediate(() => resolve(lateMs)));
      }, timeoutMs);
    });
    const lateMs = await Promise.race([settled.then(() => 0), late]);
    clearTimeout(timer);
    return lateMs;
  }

  close(): void {
    this.#connection.close();
  }

  /** Handles the frames of every call without making a view. */
  #takeHot(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): boolean {
    if (type === FrameType.result) {
      if (flags !== 0 || end - start < 4 || !this.#replies.empty) return false;
      const call = this.calls.answer(id, this.#now());
      if (call === undefined) this.#unasked();
      else call.replied(this.#replyView(bytes, start, end));
      return true;
    }
    if (type !== FrameType.began) return false;
    if (!this.calls.began(id, this.#now())) this.#unasked();
    return true;
  }

  /** The view of a reply without headers. One object for all replies, because a fresh one costs throughput. */
  #replyView(bytes: Buffer, start: number, end: number): ReplyView {
    const reply = this.#reply;
    reply.bytes = bytes;
    reply.runTicks = readU32(bytes, start);
    reply.headersStart = start + 4;
    reply.payloadStart = start + 4;
    reply.payloadEnd = end;
    return reply;
  }

  /** Counts an unsolicited frame. Pauses reading when there are too many. */
  #unasked(): void {
    if (this.#shares.frames.count() || this.#pause !== undefined) return;
    this.#connection.pause();
    this.#resumeLater();
  }

  #resumeLater(): void {
    const { frames } = this.#shares;
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      // Frames that had been read already count too.
      if (frames.isOver) this.#resumeLater();
      else this.#connection.resume();
    }, Math.ceil(frames.waitMs));
  }

  /** Handles a reply in several frames, or with headers, or an error. */
  #takeParts(flags: number, id: number, payload: Buffer): void {
    const { heldBytes } = this.#shares;
    // Late replies and replies to nothing are not kept.
    if (!this.calls.has(id)) {
      heldBytes.give(this.#replies.drop(id));
      this.#unasked();
      return;
    }
    if ((flags & FrameFlag.more) !== 0 && !heldBytes.take(payload.length)) {
      this.#refuseReply(id);
      return;
    }
    const held = this.#replies.bytesOf(id);
    const whole = this.#replies.add(flags, id, payload);
    if (whole === undefined) return;
    heldBytes.give(held);
    this.#takeResult(flags, id, whole);
  }

  /** Fails a call whose reply is over the budget. The rest of the reply is dropped. */
  #refuseReply(id: number): void {
    this.#shares.heldBytes.give(this.#replies.drop(id));
    const text = "the node holds too many bytes of replies to take this one";
    this.calls.answer(id, this.#now())?.failed({ code: CallError.overloaded, text }, 0);
    this.#connection.send(FrameType.cancel, 0, id);
  }

  #takeResult(flags: number, id: number, whole: Buffer): void {
    if ((flags & FrameFlag.error) !== 0) {
      const { runTicks, ...failure } = parseCallFailure(flags, whole);
      this.calls.answer(id, this.#now())?.failed(failure, runTicks);
      return;
    }
    // Checked before the call is removed: nobody would answer it otherwise.
    const reply = readResult(flags, whole, 0, whole.length);
    checkHeaderBlock(whole, reply.headersStart, reply.payloadStart);
    this.calls.answer(id, this.#now())?.replied(reply);
  }

  #now(): number {
    if (this.#nowMs === 0) this.#nowMs = performance.now();
    return this.#nowMs;
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case FrameType.result:
        this.#takeParts(flags, id, payload);
        return;
      case FrameType.window:
        this.#unasked();
        this.calls.setWindow(id);
        return;
      case FrameType.pong:
        if (!this.#waits.settle(FrameType.pong, undefined, id)) this.#unasked();
        return;
      case FrameType.hostCall:
        this.#unasked();
        this.hostCalls.take(flags, id, payload);
        return;
      case FrameType.credit:
        this.#unasked();
        this.#grant(payload);
        return;
      case FrameType.log: {
        this.#unasked();
        const whole = this.#messages.add(flags, type, payload);
        if (whole !== undefined) this.#log(whole);
        return;
      }
      case FrameType.hello:
      case FrameType.deployed:
      case FrameType.exited: {
        this.#unasked();
        const whole = this.#messages.add(flags, type, payload);
        if (whole !== undefined) this.#answer(type, whole);
        return;
      }
      default:
        this.#unasked();
        if (this.#relay?.take(type, id, payload)) return;
        throw new NexError("agent_protocol", `Cannot read frames: type ${type} is not one of an agent's`);
    }
  }

  #answer(type: number, payload: Buffer): void {
    let body: unknown;
    try {
      body = JSON.parse(payload.toString());
    } catch (cause) {
      throw new NexError("agent_protocol", "Cannot read an agent's message: it is not JSON", { cause });
    }
    if (type === FrameType.exited && !this.#undeploying) {
      this.#events.exited(checkJson(body, exitedSchema, "Cannot read how a workload ended"));
      return;
    }
    this.#waits.settle(type, body);
  }

  #log(payload: Buffer): void {
    const level = logLevels[payload[0] ?? -1];
    if (level === undefined || payload.length > logLineBytesMax + 1) {
      throw new NexError(
        "agent_protocol",
        "Cannot read an agent's log line: its level or length is out of bounds",
      );
    }
    this.#events.log(level, payload.toString("utf8", 1));
  }

  #grant(payload: Buffer): void {
    const bytes = payload.length < 4 ? 0 : payload.readUInt32LE(0);
    this.#credit = Math.min(this.#credit + bytes, artifactWindowBytes);
    this.#creditWait?.resolve();
    this.#creditWait = undefined;
  }

  #end(error: NexError | undefined): void {
    const cause = error ?? new NexError("workload_not_started", channelEnded);
    clearTimeout(this.#pause);
    this.#waits.fail(cause);
    this.#relay?.close();
    this.#shares.heldBytes.close();
    this.#shares.sockets.close();
    this.#creditWait?.resolve();
    this.#events.ended(error);
  }
}
