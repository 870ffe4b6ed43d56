/** A machine in the node's view: a sandbox, its agent, and at most one workload. */
import { mkdir } from "node:fs/promises";
import type {
  Channels,
  Driver,
  MachineExit,
  MachineRecord,
  MachineSpec,
  Machine as Sandbox,
} from "@nexengine/machines";
import { cleanUpOrphans } from "@nexengine/machines";
import { settlesWithin } from "@nexengine/machines/internal";
import type { Deploy, Deployed, Exited, Hello } from "@nexengine/protocol/agent";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { LogLevel } from "@nexengine/protocol/messages";
import type { Logger } from "pino";
import { AgentClient, channelEnded } from "../agent-client/agent-client.ts";
import type { Budget } from "../budget/budget.ts";
import type { Share } from "../budget/quota.ts";
import type { MachineRecords } from "../state/machine-records.ts";

/**
 * - `booting`: the driver boots it. Ends with the hello of the agent, or a failure.
 * - `ready`: the agent waits. Ends with a reservation.
 * - `reserved`: it belongs to one workload that has not started. Ends when the agent accepts or refuses.
 * - `running`: the workload runs. Ends with the workload or the machine.
 * - `stopping`: it is being stopped.
 * - `stopped`: everything it held was released, or it goes on under another node. What could not be released is logged and left to the next node.
 * - `failed`: it never became ready. Everything it held was released.
 */
export type MachineState = "booting" | "ready" | "reserved" | "running" | "stopping" | "stopped" | "failed";

/** Events of a machine for its workload. */
export interface MachineEvents {
  log(level: LogLevel, text: string): void;
  /** The workload exited by itself. */
  exited(exit: Exited): void;
  /** The machine died or broke the protocol. Not called after `end`. */
  lost(why: string): void;
}

/** A workload that runs in a machine of an earlier node. */
export interface Adoption {
  workloadId: string;
  /** Called before the agent is heard: it may ask for host services and streams at once. @returns whom to tell */
  prepare(machine: Machine): MachineEvents;
}

/** The parts of the pool that a machine needs. */
export interface MachineHost {
  records: MachineRecords;
  budget: Budget;
  /** Number of this node in its state directory. */
  epoch: number;
  handshakeTimeoutMs: number;
  log: Logger;
}

/** Extra time for a stop, beyond the workload's grace period. */
const undeployMarginMs = 1_000;
const machineGraceMs = 500;
/** Time for a machine to exit after its channel has ended. */
const exitAfterChannelMs = 500;
const hangUps: ReadonlySet<unknown> = new Set(["ECONNRESET", "EPIPE"]);

export class Machine {
  readonly id: string;
  readonly #sandbox: Sandbox;
  readonly #agent: AgentClient;
  readonly #host: MachineHost;
  readonly #place: Share;
  #state: MachineState = "booting";
  #events: MachineEvents | undefined;
  #idleLoss: ((why: string) => void) | undefined;
  /** Why it was lost. */
  #loss: string | undefined;
  #ending: Promise<Exited | undefined> | undefined;

  private constructor(sandbox: Sandbox, { frames, calls }: Channels, host: MachineHost, place: Share) {
    this.id = sandbox.id;
    this.#sandbox = sandbox;
    this.#host = host;
    this.#place = place;
    const events = {
      log: (level: LogLevel, text: string) => this.#events?.log(level, text),
      exited: (exit: Exited) => this.#events?.exited(exit),
      ended: (error: NexError | undefined) => void this.#channelEnded(error),
    };
    this.#agent = new AgentClient(frames, events, host.budget.ofMachine(), calls);
    void sandbox.exited.then((exit) => this.#lose(describeExit(exit)));
  }

  /**
   * Boots a machine and waits for its agent. Its record exists from before the boot until nothing of it is left.
   *
   *
   * @throws NexError `no_ready_machine`; nothing is left behind then.
   */
  static async boot(driver: Driver, spec: MachineSpec, host: MachineHost): Promise<Machine> {
    const { id, directory } = spec;
    const { records } = host;
    const recorded = driver.recover !== undefined;
    let sandbox: Sandbox | undefined;
    const place = takePlace(host.budget);
    try {
      if (recorded) await records.write({ driver: driver.kind, id, directory, facts: {} });
      await mkdir(directory, { mode: 0o700 });
      sandbox = await driver.boot(spec);
      const record = sandbox.record?.();
      if (record !== undefined) await records.write(record);
      const machine = new Machine(sandbox, await sandbox.attach(host.epoch), host, place);
      await machine.#handshake(host.handshakeTimeoutMs);
      return machine;
    } catch (error) {
      const tail = sandbox === undefined ? "" : await consoleTail(sandbox);
      await giveBack(host, id, async () => {
        await sandbox?.destroy();
        if (recorded) await records.remove(id);
      });
      place.close();
      throw new NexError("no_ready_machine", `Cannot boot a machine: ${errorText(error)}${tail}`, {
        cause: error,
      });
    }
  }

  /**
   * Takes over a machine that another node has booted, with the workload that runs in it.
   *
   * @returns the machine, and the number of calls that it accepts at once. `undefined` when the machine is gone. What is left of it has been cleaned up then.
   * @throws NexError when it can't be attached, or runs something else; it has been ended then.
   */
  static async adopt(
    driver: Driver,
    record: MachineRecord,
    host: MachineHost,
    { workloadId, prepare }: Adoption,
  ): Promise<{ machine: Machine; concurrency: number } | undefined> {
    const place = takePlace(host.budget);
    const sandbox = await driver.recover?.(record);
    if (sandbox === undefined) {
      place.close();
      await giveBack(host, record.id, async () => {
        await cleanUpOrphans(record.directory);
        await host.records.remove(record.id);
      });
      return undefined;
    }
    try {
      const machine = new Machine(sandbox, await sandbox.attach(host.epoch), host, place);
      machine.#events = prepare(machine);
      const { running } = await machine.#handshake(host.handshakeTimeoutMs);
      if (running?.workloadId !== workloadId) {
        throw new NexError("agent_protocol", `its agent does not run workload ${workloadId}`);
      }
      machine.#state = "running";
      // It exited while it had no node.
      if (running.exit !== undefined) machine.#events.exited(running.exit);
      return { machine, concurrency: running.concurrency ?? 1 };
    } catch (error) {
      await giveBack(host, record.id, async () => {
        await sandbox.destroy();
        await host.records.remove(record.id);
      });
      place.close();
      throw new NexError("no_ready_machine", `Cannot take over machine ${record.id}: ${errorText(error)}`, {
        cause: error,
      });
    }
  }

  async #handshake(timeoutMs: number): Promise<Hello> {
    const { epoch } = this.#host;
    const gone = this.#sandbox.exited.then((exit): never => {
      throw new NexError("no_ready_machine", `it ended before its agent was ready: ${describeExit(exit)}`);
    });
    const ready = this.#agent.handshake(epoch, timeoutMs).catch(async (error: unknown): Promise<never> => {
      if (isHangUp(error)) await settlesWithin(this.#sandbox.exited, exitAfterChannelMs);
      throw error;
    });
    const hello = await Promise.race([ready, gone]);
    // It may have been lost right after its hello.
    if (this.#state !== "booting") throw new NexError("no_ready_machine", this.#loss ?? "it was lost");
    this.#state = "ready";
    return hello;
  }

  get state(): MachineState {
    return this.#state;
  }

  /** Sets who is told when a ready machine dies. */
  whenIdleLost(listener: (why: string) => void): void {
    this.#idleLoss = listener;
  }

  /** Reserves the machine for one workload. */
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
      const record = this.#sandbox.record?.();
      if (record !== undefined) await this.#host.records.write({ ...record, workload_id: deploy.workloadId });
      // It may have been ended while its record was written.
      if (this.state !== "running") await this.#host.records.remove(this.id);
      return deployed;
    } catch (error) {
      if (error instanceof NexError && error.code === "workload_rejected") throw error;
      if (isHangUp(error)) await settlesWithin(this.#sandbox.exited, exitAfterChannelMs);
      const why = withHead("Failed to deploy workload: ", this.#loss ?? errorText(error));
      throw new NexError("workload_not_started", why, { cause: error });
    }
  }

  /** Whether the kernel has killed a process of the machine for memory, as far as the driver can tell. */
  get ranOutOfMemory(): boolean {
    return (this.#sandbox.oomKills?.() ?? 0) > 0;
  }

  get agent(): AgentClient {
    return this.#agent;
  }

  /**
   * Stops the machine: asks the workload to exit within `graceMs`, then kills it. Idempotent; never rejects.
   *
   * @returns how the workload exited, if the agent reported it.
   */
  end(graceMs: number): Promise<Exited | undefined> {
    this.#ending ??= this.#end(graceMs);
    return this.#ending;
  }

  /**
   * Lets go of the machine, which goes on without this node, for another one to adopt.
   *
   * @returns false when it ends with this node.
   */
  detach(): boolean {
    if (this.#state !== "running" || this.#sandbox.detach === undefined) return false;
    this.#state = "stopped";
    this.#ending = Promise.resolve(undefined);
    this.#agent.close();
    this.#sandbox.detach();
    this.#place.close();
    return true;
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
    this.#place.close();
    this.#state = "stopped";
    return exit;
  }

  /** Reports a protocol violation as such; otherwise waits for the machine's own exit, which says more. */
  async #channelEnded(error: NexError | undefined): Promise<void> {
    const hungUp = error === undefined || isHangUp(error);
    // Always later: a channel may end while somebody is writing to it.
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

/** Takes the place of one machine. @throws NexError `no_ready_machine` when the node has no descriptors for one more */
function takePlace({ machines }: Budget): Share {
  const place = machines.share();
  if (place.take(1)) return place;
  throw new NexError(
    "no_ready_machine",
    `Cannot boot a machine: the node has ${machines.options.common}, as many as its limit of open files allows`,
    { advice: "Raise the limit of the node's process (ulimit -n), or deploy to another node" },
  );
}

/** Releases resources. If that fails, the record stays, so that the next node tries again. */
async function giveBack({ log }: MachineHost, machine: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.error({ machine, reason: errorText(error) }, "something of a machine is left");
  }
}

/** Whether the other end of the channel hung up, which says less than how its machine exited. */
function isHangUp(error: unknown): boolean {
  if (!(error instanceof NexError)) return false;
  const { cause } = error;
  return (
    error.code === "workload_not_started" ||
    (cause instanceof Error && "code" in cause && hangUps.has(cause.code))
  );
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
