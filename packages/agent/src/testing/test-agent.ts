/** A real agent process and the node's end of its frames, for the agent's own tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import {
  agentProtocolVersion,
  type CallFailure,
  type Deploy,
  type Deployed,
  type Exited,
  FrameConnection,
  FrameFlag,
  FrameType,
  type Hello,
  messageView,
  PayloadAssembler,
  parseCallFailure,
  readResult,
  sendInvocation,
} from "@nexengine/protocol/agent";

const answerMs = 20_000;
/** The bundle as it is shipped; \`npm test\` and \`npm run build\` make it. */
const agentBundle = join(import.meta.dirname, "../../../../dist/agent.mjs");

export type Answer = { reply: Buffer; headers: string; runTicks: number } | { failure: CallFailure };

/** A running agent, attached; it is ended and its directory removed at the end of the block. */
export class TestAgent implements AsyncDisposable {
  readonly logs: { level: number; text: string }[] = [];
  readonly began: number[] = [];
  readonly exits: Exited[] = [];
  readonly child: ChildProcess;
  readonly connection: FrameConnection;
  readonly #directory: string;
  readonly #waiting = new Map<string, (payload: Buffer, flags: number) => void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #arrived = new Map<string, { payload: Buffer; flags: number }>();
  readonly #assembler = new PayloadAssembler(64 * 1024 * 1024);
  #nextCall = 1;

  private constructor(child: ChildProcess, directory: string) {
    this.child = child;
    this.#directory = directory;
    this.connection = new FrameConnection(child.stdio[3] as Duplex, {
      frame: (type, flags, id, payload) => this.#take(type, flags, id, payload),
      end: () => undefined,
    });
  }

  static async start(): Promise<TestAgent> {
    const directory = await mkdtemp(join(tmpdir(), "nex-agent-test-"));
    const flags = [
      "--experimental-vm-modules",
      "--disable-warning=ExperimentalWarning",
      "--conditions=nex-src",
    ];
    const child = spawn(process.execPath, [...flags, agentBundle, "--channels=fd"], {
      cwd: directory,
      env: {},
      stdio: ["ignore", "inherit", "inherit", "pipe", "pipe"],
    });
    const agent = new TestAgent(child, directory);
    agent.connection.sendJson(FrameType.attach, { protocol: agentProtocolVersion, epoch: 1 });
    return agent;
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    const whole = this.#assembler.add(flags, type * 65_536 + id, payload);
    if (whole === undefined) return;
    if (type === FrameType.log) {
      this.logs.push({ level: whole[0] ?? 0, text: whole.toString("utf8", 1) });
      this.#settle(`log ${whole.toString("utf8", 1)}`, whole, 0);
    } else if (type === FrameType.began) this.began.push(id);
    else {
      if (type === FrameType.exited) this.exits.push(JSON.parse(whole.toString()));
      this.#settle(`${type} ${id}`, Buffer.from(whole), flags);
    }
  }

  #settle(key: string, payload: Buffer, flags: number): void {
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    if (waiting !== undefined) waiting(payload, flags);
    else this.#arrived.set(key, { payload, flags });
  }

  #await(key: string): Promise<{ payload: Buffer; flags: number }> {
    const arrived = this.#arrived.get(key);
    this.#arrived.delete(key);
    if (arrived !== undefined) return Promise.resolve(arrived);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(reject, answerMs, new Error(`no frame "${key}" in ${answerMs} ms`));
      this.#timers.add(timer);
      this.#waiting.set(key, (payload, flags) => {
        clearTimeout(timer);
        this.#timers.delete(timer);
        resolve({ payload, flags });
      });
    });
  }

  async hello(): Promise<Hello> {
    return JSON.parse((await this.#await(`${FrameType.hello} 0`)).payload.toString());
  }

  /** Waits for this very log line. */
  async logged(text: string): Promise<void> {
    if (!this.logs.some((line) => line.text === text)) await this.#await(`log ${text}`);
  }

  async deploy(artifact: Uint8Array | string, options: Partial<Deploy> = {}): Promise<Deployed> {
    const bytes = Buffer.from(artifact);
    this.connection.sendLong(FrameType.artifact, 0, 0, bytes);
    this.connection.sendJson(FrameType.deploy, {
      workloadId: "test",
      name: "test",
      namespace: "default",
      type: "v8",
      artifactBytes: bytes.length,
      argv: [],
      environment: {},
      concurrency: 16,
      sourceBytesMax: 5_242_880,
      ...options,
    });
    return JSON.parse((await this.#await(`${FrameType.deployed} 0`)).payload.toString());
  }

  send(
    subject: string,
    payload: Uint8Array | string = "",
    headers = "",
    trigger?: Parameters<typeof messageView>[3],
  ): { id: number; answer: Promise<Answer> } {
    const id = this.#nextCall++;
    const view = messageView(subject, Buffer.from(payload), Buffer.from(headers), trigger);
    sendInvocation(this.connection, id, view);
    const answer = this.#await(`${FrameType.result} ${id}`).then(({ payload: bytes, flags }) =>
      (flags & FrameFlag.error) !== 0 ? failureOf(flags, bytes) : replyOf(flags, bytes),
    );
    return { id, answer };
  }

  /** Calls the function and gives its reply as text, or its failure. */
  async call(payload: Uint8Array | string = "", subject = "test.subject"): Promise<string | CallFailure> {
    const answer = await this.send(subject, payload).answer;
    return "reply" in answer ? answer.reply.toString() : answer.failure;
  }

  async undeploy(graceMs = 1_000): Promise<Exited> {
    this.connection.sendJson(FrameType.undeploy, { graceMs });
    return JSON.parse((await this.#await(`${FrameType.exited} 0`)).payload.toString());
  }

  async exited(): Promise<Exited> {
    return JSON.parse((await this.#await(`${FrameType.exited} 0`)).payload.toString());
  }

  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill("SIGKILL");
      await once(this.child, "exit");
    }
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function failureOf(flags: number, bytes: Buffer): Answer {
  const { runTicks: _, ...failure } = parseCallFailure(flags, bytes);
  return { failure };
}

function replyOf(flags: number, bytes: Buffer): Answer {
  const { headersStart, payloadStart, runTicks } = readResult(flags, bytes, 0, bytes.length);
  const headers = bytes.toString("utf8", headersStart, payloadStart);
  return { reply: bytes.subarray(payloadStart), headers, runTicks };
}
