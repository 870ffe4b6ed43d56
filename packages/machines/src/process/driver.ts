/** The driver whose machines are plain processes, without isolation. */
import type { Driver, Fingerprint, LimitName, Machine, MachineNetwork, MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { SharedProcessTable } from "../host/process-table.ts";
import { findProgram } from "../host/program.ts";
import { bootInDirectory } from "../spec.ts";
import { fingerprintProcess } from "./fingerprint.ts";
import { findDeathPrefix } from "./launcher.ts";
import { ProcessMachine } from "./machine.ts";
import { completeOptions, type ProcessDriverOptions, type ProcessDriverSettings } from "./options.ts";
import { spawnGuest } from "./spawn.ts";

/**
 * Creates machines that are plain processes of this host: **no isolation**. Intended for development and for hosts
 * where no other driver works. A machine exits with the process that booted it and can't be recovered.
 *
 * The program runs in the machine's directory in its own session, with an empty environment and empty standard input.
 * Frames use descriptor 3, calls use descriptor 4. SIGTERM asks it to stop.
 *
 * The kernel watches the *thread* that boots: a worker thread that exits takes its machines with it.
 */
export class ProcessDriver implements Driver {
  readonly kind = "process";
  /** A process machine enforces no limits. */
  readonly enforces: ReadonlySet<LimitName> = new Set();
  /**
   * The machine shares the host's network, so every network is accepted but none is enforced. `hosts` and
   * `loopbackAddresses` are validated and then ignored: the workload uses the host's resolver and reaches the real
   * addresses.
   */
  readonly networks: ReadonlySet<MachineNetwork> = new Set<MachineNetwork>(["none", "nats", "egress"]);
  readonly ownLoopback = false;
  readonly carriesIpv6 = false;
  readonly #settings: ProcessDriverSettings;
  readonly #table = new SharedProcessTable();
  #deathPrefix: Promise<readonly string[]> | undefined;

  constructor(options: ProcessDriverOptions) {
    this.#settings = completeOptions(options);
  }

  async fingerprint(): Promise<Fingerprint> {
    return await fingerprintProcess(this.#settings, await this.#probe());
  }

  async boot(spec: MachineSpec): Promise<Machine> {
    return await bootInDirectory(this, spec, (owned) => this.#start(owned));
  }

  async #start(spec: MachineSpec): Promise<Machine> {
    const failed = (why: string, cause?: unknown): MachineError =>
      new MachineError("boot_failed", `Cannot boot machine "${spec.id}": ${why}`, { cause });
    const [name, ...args] = this.#settings.command;
    const program = await findProgram(name);
    if (program === undefined) throw failed(`"${name}" is not an executable file`);
    const command = [...(await this.#probe()), program, ...args];
    const guest = await spawnGuest(command, spec.directory).catch((error: unknown) => {
      throw failed(`"${program}" can't be started`, error);
    });
    try {
      return new ProcessMachine(spec, guest, this.#table, this.#settings.killTimeoutMs);
    } catch (error) {
      guest.child.kill("SIGKILL");
      for (const end of [...guest.console, guest.frames, guest.calls]) end.destroy();
      throw failed(`"${program}" can't be monitored`, error);
    }
  }

  #probe(): Promise<readonly string[]> {
    this.#deathPrefix ??= findDeathPrefix();
    return this.#deathPrefix;
  }
}
