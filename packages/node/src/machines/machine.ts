/** A machine as the node sees it: a sandbox, the agent in it, and one workload at most. */
import { mkdir } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { Driver, MachineExit, MachineSpec, Machine as Sandbox } from "@nexengine/machines";
import {
  type Deploy,
  type Deployed,
  type Exited,
  errorText,
  type LogLevel,
  NexError,
} from "@nexengine/protocol/internal";
import type { Logger } from "pino";
import { AgentClient, channelEnded } from "../agent-client/agent-client.ts";
import type { Budget } from "../budget/budget.ts";
import type { MachineRecords } from "../state/machine-records.ts";

/**
 * - `booting`: the driver was asked; ends with the agent's hello, or a failure.
 * - `ready`: the agent waits; ends with a reservation.
 * - `reserved`: belongs to one workload that has not started; ends with the agent's acceptance or refusal.
 * - `running`: the workload runs; ends when it or the machine ends.
 * - `stopping`: being ended, whatever it was.
 * - `stopped`: everything it held has been given back; what could not be is told, and left to the next node.
 * - `failed`: never became ready; everything it held has been given back.
 */
export type MachineState = "booting" | "ready" | "reserved" | "running" | "stopping" | "stopped" | "failed";

/** What a machine's workload hears of it. */
export interface MachineEvents {
  log(level: LogLevel, text: string): void;
  /** The workload ended by itself. */
  exited(exit: Exited): void;
  /** The machine is lost: it died, or broke the protocol. Not called after `end`. */
  lost(why: string): void;
}

/** What a machine needs of whoever boots it. */
export interface MachineHost {
  records: MachineRecords;
  budget: Budget;
  handshakeTimeoutMs: number;
  log: Logger;
}

const epoch = 1;
/** An asked machine has this much longer than its workload's grace. */
const undeployMarginMs = 1_000;
const machineGraceMs = 500;
/** A machine whose channel has ended has so long to end itself. */
const exitAfterChannelMs = 500;
const hangUps: ReadonlySet<unknown> = new Set(["ECONNRESET", "EPIPE"]);

export class Machine {
  readonly id: string;
  readonly #sandbox: Sandbox;
  readonly #agent: AgentClient;
  readonly #host: MachineHost;
  #state: MachineState = "booting";
  #events: MachineEvents | undefined;
  #idleLoss: ((why: string) => void) | undefined;
  /** Why it was lost, if it was. */
  #loss: string | undefined;
  #ending: Promise<Exited | undefined> | undefined;

  private constructor(sandbox: Sandbox, frames: Duplex, calls: Duplex, host: MachineHost) {
    this.id = sandbox.id;
    this.#sandbox = sandbox;
    this.#host = host;
    const events = {
      log: (level: LogLevel, text: string) => this.#events?.log(level, text),
      exited: (exit: Exited) => this.#events?.exited(exit),
      ended: (error: NexError | undefined) => void this.#channelEnded(error),
    };
    this.#agent = new AgentClient(frames, events, host.budget.ofMachine(), calls);
    void sandbox.exited.then((exit) => this.#lose(describeExit(exit)));
  }

  /**
   * Boots a machine and waits until its agent is ready. It stands in the records from before it is there until
   * nothing of it is left.
   *
   * @throws NexError `no_ready_machine`; nothing is left behind then.
   */
  static async boot(driver: Driver, spec: MachineSpec, host: MachineHost): Promise<Machine> {
    const { id, directory } = spec;
    const { records } = host;
    const recorded = driver.recover !== undefined;
    let sandbox: Sandbox | undefined;
    try {
      if (recorded) await records.write({ driver: driver.kind, id, directory, facts: {} });
      await mkdir(directory, { mode: 0o700 });
      sandbox = await driver.boot(spec);
      const record = sandbox.record?.();
      if (record !== undefined) await records.write(record);
      const { frames, calls } = await sandbox.attach(epoch);
      const machine = new Machine(sandbox, frames, calls, host);
      await machine.#handshake(host.handshakeTimeoutMs);
      return machine;
    } catch (error) {
      const tail = sandbox === undefined ? "" : await consoleTail(sandbox);
      await giveBack(host, id, async () => {
        await sandbox?.destroy();
        if (recorded) await records.remove(id);
      });
      throw new NexError("no_ready_machine", `Cannot boot a machine: ${errorText(error)}${tail}`, {
        cause: error,
      });
    }
  }

  async #handshake(timeoutMs: number): Promise<void> {
    const gone = this.#sandbox.exited.then((exit): never => {
      throw new NexError("no_ready_machine", `it ended before its agent was ready: ${describeExit(exit)}`);
    });
    const ready = this.#agent.handshake(epoch, timeoutMs).catch(async (error: unknown): Promise<never> => {
      if (isHangUp(error)) await settlesWithin(this.#sandbox.exited, exitAfterChannelMs);
      throw error;
    });
    await Promise.race([ready, gone]);
    // It may have been lost in the breath of its hello.
    if (this.#state !== "booting") throw new NexError("no_ready_machine", this.#loss ?? "it was lost");
    this.#state = "ready";
  }

  get state(): MachineState {
    return this.#state;
  }

  /** While it is ready: who is told when it dies. */
  whenIdleLost(listener: (why: string) => void): void {
    this.#idleLoss = listener;
  }

  /** Gives the machine to one workload. */
  reserve(): void {
    this.#demand("ready", "reserve");
    this.#idleLoss = undefined;
    this.#state = "reserved";
  }

  /** Starts the workload. @throws NexError `workload_rejected`, `workload_not_started` */
  async deploy(
    deploy: Deploy,
    artifactPath: string,
    timeoutMs: number,
    events: MachineEvents,
  ): Promise<Deployed> {
    this.#demand("reserved", "deploy to");
    this.#events = events;
    try {
      const deployed = await this.#agent.deploy(deploy, artifactPath, timeoutMs);
      this.#demand("reserved", "deploy to");
      this.#state = "running";
      return deployed;
    } catch (error) {
      if (error instanceof NexError && error.code === "workload_rejected") throw error;
      if (isHangUp(error)) await settlesWithin(this.#sandbox.exited, exitAfterChannelMs);
      const why = withHead("Failed to deploy workload: ", this.#loss ?? errorText(error));
      throw new NexError("workload_not_started", why, { cause: error });
    }
  }

  get agent(): AgentClient {
    return this.#agent;
  }

  /**
   * Ends the machine: asks the workload within `graceMs`, then forces. Idempotent; never rejects.
   *
   * @returns how the workload ended, where the agent said so.
   */
  end(graceMs: number): Promise<Exited | undefined> {
    this.#ending ??= this.#end(graceMs);
    return this.#ending;
  }

  async #end(graceMs: number): Promise<Exited | undefined> {
    const was = this.#state;
    this.#state = "stopping";
    let exit: Exited | undefined;
    if (was === "running" && graceMs > 0 && !this.#agent.ended) {
      exit = await this.#agent.undeploy(graceMs, graceMs + undeployMarginMs);
      await this.#sandbox.stop(machineGraceMs).catch(() => undefined);
    }
    this.#agent.close();
    await giveBack(this.#host, this.id, async () => {
      await this.#sandbox.destroy();
      await this.#host.records.remove(this.id);
    });
    this.#state = "stopped";
    return exit;
  }

  /** An agent that breaks the protocol is to blame itself; otherwise the end of its machine tells more. */
  async #channelEnded(error: NexError | undefined): Promise<void> {
    const hungUp = error === undefined || isHangUp(error);
    // In either case later: a channel may end while somebody is in the middle of writing to it.
    await (hungUp ? settlesWithin(this.#sandbox.exited, exitAfterChannelMs) : Promise.resolve());
    this.#lose(hungUp ? channelEnded : error.message);
  }

  #lose(why: string): void {
    if (this.#state === "stopping" || this.#state === "stopped" || this.#state === "failed") return;
    const was = this.#state;
    this.#state = "failed";
    this.#loss = why;
    const idle = this.#idleLoss;
    if (was === "ready") idle?.(why);
    else this.#events?.lost(why);
  }

  #demand(state: MachineState, action: string): void {
    if (this.#state === state) return;
    throw new NexError("wrong_state", `Cannot ${action} machine ${this.id}: it is ${this.#state}`);
  }
}

/** What can't be given back keeps its record, with which the next node tries again. */
async function giveBack({ log }: MachineHost, machine: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.error({ machine, reason: errorText(error) }, "something of a machine is left");
  }
}

/** Has the other end of the channel gone? That says less than how its machine ended. */
function isHangUp(error: unknown): boolean {
  if (!(error instanceof NexError)) return false;
  const { cause } = error;
  return (
    error.code === "workload_not_started" ||
    (cause instanceof Error && "code" in cause && hangUps.has(cause.code))
  );
}

async function settlesWithin(promise: Promise<unknown>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function withHead(head: string, text: string): string {
  return text.startsWith(head) ? text : head + text;
}

function describeExit(exit: MachineExit): string {
  const code = exit.code === undefined ? "" : ` with status ${exit.code}`;
  return `${exit.reason.replaceAll("_", " ")}${code}`;
}

async function consoleTail(sandbox: Sandbox): Promise<string> {
  await sandbox.stop(0);
  const { console } = await sandbox.exited;
  const tail = console.trim().split("\n").slice(-3).join(" | ");
  return tail === "" ? "" : ` (it wrote: ${tail})`;
}
