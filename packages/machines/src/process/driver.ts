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
 * Makes machines that are plain processes of this host: **no isolation at all**, for development and for hosts where
 * nothing else works. A machine ends with the process that booted it and can't be recovered.
 *
 * Its program runs in the machine's directory in a session of its own, with an empty environment, nothing on
 * standard input, frames on descriptor 3 and calls on descriptor 4. To be asked to stop, it gets a SIGTERM.
 *
 * The kernel watches the *thread* that boots: a worker thread that ends takes its machines with it.
 */
export class ProcessDriver implements Driver {
  readonly kind = "process";
  /** A process machine holds no limit. */
  readonly enforces: ReadonlySet<LimitName> = new Set();
  /**
   * It shares the host's network: any wish is taken, but `none` does not keep a workload from the network, nor `egress`
   * from what is not listed. `hosts` and `loopbackAddresses` are checked and then left out: the workload has the host's
   * resolver, and what they stand for is reached at its real name and address.
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
      throw failed(`"${program}" can't be watched`, error);
    }
  }

  #probe(): Promise<readonly string[]> {
    this.#deathPrefix ??= findDeathPrefix();
    return this.#deathPrefix;
  }
}
