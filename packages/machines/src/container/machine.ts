/** A machine that is a container. */
import type { MachineExit, MachineRecord, MachineUsage } from "../driver.ts";
import { Attachments } from "../host/attachments.ts";
import { type Cgroup, killCgroup } from "../host/cgroup.ts";
import { DetachedMachine, type Kept } from "../host/detached-machine.ts";
import type { ExitStatus } from "../host/exit-status.ts";
import type { FifoConsole } from "../host/fifo-console.ts";
import { signalProcess } from "../host/kill.ts";
import { openChannels } from "./attachment.ts";
import { cleanUp } from "./cleanup.ts";
import { type MachineFacts, recordFacts } from "./facts.ts";
import type { ContainerHost } from "./host.ts";
import { layoutOf } from "./layout.ts";

const outOfMemorySignal = 9;

/** A machine that is a container on this host. None of its processes is a child of this process. */
export class ContainerMachine extends DetachedMachine {
  readonly #host: ContainerHost;
  readonly #facts: MachineFacts;
  readonly #cgroup: Cgroup;

  /** @param epoch The latest epoch that another process has started. */
  constructor(host: ContainerHost, kept: Kept, facts: MachineFacts, console: FifoConsole, epoch = 0) {
    const { channels } = layoutOf(kept.directory);
    const { attachTimeoutMs, killTimeoutMs } = host.settings;
    const attachments = new Attachments(
      (wanted, signal) => openChannels(channels, wanted, signal),
      epoch,
      attachTimeoutMs,
    );
    super(kept, { identity: facts.identity, attachments, console, killTimeoutMs });
    this.#host = host;
    this.#facts = facts;
    this.#cgroup = host.cgroup(kept.id, facts.cgroupParent);
  }

  /** Pid of its first process on the host. */
  get pid(): number {
    return this.#facts.identity.pid;
  }

  async usage(): Promise<MachineUsage> {
    const usage = this.#cgroup.usage();
    // The host's init may not have reaped the last process yet.
    return this.isRunning ? usage : { ...usage, processes: 0 };
  }

  oomKills(): number {
    return this.#cgroup.oomKills();
  }

  record(): MachineRecord {
    const { id, directory } = this;
    return { driver: "container", id, directory, facts: recordFacts(this.#facts) };
  }

  protected ask(): void {
    signalProcess(this.#facts.identity, "SIGTERM");
  }

  /**
   * The kernel kills the whole pid namespace with its first process. Processes that joined the cgroup from outside
   * remain.
   */
  protected async killOthers(): Promise<number[]> {
    return await killCgroup(this.#cgroup, this.#host.settings.killTimeoutMs);
  }

  protected async cleanUp(): Promise<void> {
    const { range, cgroupParent, egressAddress } = this.#facts;
    const { id, directory } = this;
    const egress = egressAddress !== undefined;
    await cleanUp(this.#host, { id, directory, cgroup: this.#cgroup, cgroupParent, range, egress });
  }

  /**
   * The OOM counter identifies kills by the kernel. The exit status is known only if it was read before init reaped
   * the process.
   */
  protected describe({ code, signal }: ExitStatus, console: string): MachineExit {
    if (code !== undefined) return { reason: "exited", code, console };
    const couldBeMemory = signal === outOfMemorySignal || (signal === undefined && !this.wasAsked);
    if (couldBeMemory && this.oomKills() > 0) return { reason: "out_of_memory", console };
    if (signal !== undefined) return { reason: "killed", console };
    return { reason: this.wasAsked ? "exited" : "unknown", console };
  }
}
