import type { Channels, Machine, MachineExit, MachineRecord, MachineSpec, MachineUsage } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { Attachments } from "../host/attachments.ts";
import { type Cgroup, killCgroup } from "../host/cgroup.ts";
import { type Fate, readFate } from "../host/fate.ts";
import type { FifoConsole } from "../host/fifo-console.ts";
import { signalProcess } from "../host/kill.ts";
import { settlesWithin } from "../host/wait.ts";
import { watchFate } from "../host/watch.ts";
import { openChannels } from "./attachment.ts";
import { type MachineFacts, recordFacts } from "./facts.ts";
import type { ContainerHost } from "./host.ts";
import { layoutOf } from "./layout.ts";
import { removeRemains } from "./remains.ts";

/** What of an order a machine still needs when it runs. */
type Kept = Pick<MachineSpec, "id" | "directory">;

const outOfMemorySignal = 9;

/** A machine that is a container of this host. Nothing of it is a child of this process. */
export class ContainerMachine implements Machine {
  readonly id: string;
  readonly exited: Promise<MachineExit>;
  readonly #host: ContainerHost;
  readonly #directory: string;
  readonly #facts: MachineFacts;
  readonly #cgroup: Cgroup;
  readonly #attachments: Attachments;
  #running = true;
  #asked = false;
  #forced = false;
  #destroyed: Promise<void> | undefined;

  /** @param epoch The latest that has begun already, by another process. */
  constructor(host: ContainerHost, kept: Kept, facts: MachineFacts, console: FifoConsole, epoch = 0) {
    this.id = kept.id;
    this.#host = host;
    this.#directory = kept.directory;
    this.#facts = facts;
    this.#cgroup = host.cgroup(kept.id, facts.cgroupParent);
    const { channels } = layoutOf(kept.directory);
    this.#attachments = new Attachments(
      (wanted, signal) => openChannels(channels, wanted, signal),
      epoch,
      host.settings.attachTimeoutMs,
    );
    this.exited = this.#watch(console);
  }

  /** Its first process, as the host numbers it. */
  get pid(): number {
    return this.#facts.identity.pid;
  }

  async attach(epoch: number): Promise<Channels> {
    if (!this.#running || this.#destroyed) {
      throw new MachineError(
        "wrong_state",
        `Cannot attach to machine "${this.id}" for epoch ${epoch}: it has ended`,
      );
    }
    return await this.#attachments.open(epoch, this.id);
  }

  async usage(): Promise<MachineUsage> {
    const usage = this.#cgroup.usage();
    // The host's init may not have taken the last one away yet.
    return this.#running ? usage : { ...usage, processes: 0 };
  }

  async stop(graceMs: number): Promise<{ forced: boolean }> {
    if (!this.#asked && this.#running) signalProcess(this.#facts.identity, "SIGTERM");
    this.#asked = true;
    await settlesWithin(this.exited, graceMs);
    await this.#kill();
    return { forced: this.#forced };
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy().catch((error: unknown) => {
      this.#destroyed = undefined;
      throw error;
    });
    return this.#destroyed;
  }

  record(): MachineRecord {
    return {
      driver: "container",
      id: this.id,
      directory: this.#directory,
      facts: recordFacts(this.#facts),
    };
  }

  async #destroy(): Promise<void> {
    // What can't be killed now is tried again, and told, with all else that is left.
    await this.#kill().catch(() => undefined);
    this.#attachments.destroy();
    const { range, cgroupParent, egressAddress } = this.#facts;
    await removeRemains(this.#host, {
      id: this.id,
      directory: this.#directory,
      cgroup: this.#cgroup,
      cgroupParent,
      range,
      egress: egressAddress !== undefined,
    });
  }

  /** Kills the first process, which takes all others of its namespace with it. */
  async #kill(): Promise<void> {
    const { killTimeoutMs } = this.#host.settings;
    if (this.#running && readFate(this.#facts.identity) === undefined) {
      this.#forced = true;
      signalProcess(this.#facts.identity, "SIGKILL");
    }
    const left = await killCgroup(this.#cgroup, killTimeoutMs);
    if (left.length === 0 && (await settlesWithin(this.exited, killTimeoutMs))) return;
    const pids = left.join(", ") || String(this.#facts.identity.pid);
    throw new MachineError("destroy_failed", `Cannot kill machine "${this.id}": processes ${pids} are left`);
  }

  async #watch(console: FifoConsole): Promise<MachineExit> {
    const fate = await watchFate(this.#facts.identity, console.closed);
    this.#running = false;
    const exit = this.#describe(fate);
    this.#attachments.hangUp();
    return { ...exit, console: await console.end() };
  }

  /** The kernel's counter tells what a kill by the kernel was; the status is known only where it was seen in time. */
  #describe({ code, signal }: Fate): Omit<MachineExit, "console"> {
    if (this.#forced) return { reason: "killed" };
    if (code !== undefined) return { reason: "exited", code };
    const couldBeMemory = signal === outOfMemorySignal || (signal === undefined && !this.#asked);
    if (couldBeMemory && this.#cgroup.oomKills() > 0) return { reason: "out_of_memory" };
    if (signal !== undefined) return { reason: "killed" };
    return { reason: this.#asked ? "exited" : "unknown" };
  }
}
