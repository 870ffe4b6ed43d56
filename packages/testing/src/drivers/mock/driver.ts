import type {
  Driver,
  Fingerprint,
  LimitName,
  MachineNetwork,
  MachineRecord,
  MachineSpec,
} from "@nexengine/machines/internal";
import { bootInDirectory, holdsWithin, MachineError } from "@nexengine/machines/internal";
import { MockMachine } from "./machine.ts";
import type { MockBoot, MockScript } from "./script.ts";

/** Options of a mock driver. */
export interface MockDriverOptions {
  /** One entry per boot; the last one repeats. Or a function that decides for each boot. */
  script?: readonly MockBoot[] | MockScript;
  enforces?: Iterable<LimitName>;
  networks?: Iterable<MachineNetwork>;
  fingerprint?: Fingerprint;
}

/**
 * A driver for tests of code that uses drivers. Every boot follows a script, and the test controls the guest. Products
 * know no kind for it, so it poses as the driver of processes.
 *
 * ```ts
 * const mock = new MockDriver({ script: [{ fails: "no luck" }, {}] });
 * const machine = await mock.machineAt(0);
 * machine.guest.frames.write("hello");
 * machine.guest.exit(1);
 * ```
 */
export class MockDriver implements Driver {
  readonly kind = "process";
  readonly enforces: ReadonlySet<LimitName>;
  readonly networks: ReadonlySet<MachineNetwork>;
  readonly ownLoopback = false;
  readonly carriesIpv6 = false;
  /** Specs passed to `boot`, in order, including failed boots. */
  readonly boots: MachineSpec[] = [];
  /** Booted machines, in the order in which their boots completed. */
  readonly machines: MockMachine[] = [];
  /** May be replaced at any time. */
  script: MockScript;
  readonly #fingerprint: Fingerprint;

  constructor(options: MockDriverOptions = {}) {
    const { script = [] } = options;
    this.script = typeof script === "function" ? script : (index) => script[index] ?? script.at(-1) ?? {};
    this.enforces = new Set(options.enforces ?? ["memoryBytes", "vcpus", "processes", "diskBytes"]);
    this.networks = new Set(options.networks ?? ["none", "nats", "egress"]);
    this.#fingerprint = options.fingerprint ?? { available: true, details: {} };
  }

  async fingerprint(): Promise<Fingerprint> {
    return this.#fingerprint;
  }

  async boot(spec: MachineSpec): Promise<MockMachine> {
    const boot = this.script(this.boots.length);
    this.boots.push(spec);
    return await bootInDirectory(this, spec, async (owned) => {
      await this.#run(owned, boot);
      const machine = new MockMachine(owned, boot);
      this.machines.push(machine);
      return machine;
    });
  }

  async recover(record: MachineRecord): Promise<MockMachine | undefined> {
    const machine = this.machines.find((candidate) => candidate.id === record.id && !candidate.guest.ended);
    return machine?.recovered();
  }

  /**
   * Waits until the machine with this index has booted.
   *
   * @throws MachineError `wrong_state` on timeout.
   */
  async machineAt(index: number, timeoutMs = 5_000): Promise<MockMachine> {
    await holdsWithin(() => index < this.machines.length, timeoutMs);
    const machine = this.machines[index];
    if (machine) return machine;
    const state = `${this.machines.length} of ${this.boots.length} boots have succeeded`;
    throw new MachineError("wrong_state", `Cannot wait longer for mock machine ${index}: ${state}`);
  }

  async #run(spec: MachineSpec, boot: MockBoot): Promise<void> {
    const failed = (why: string, cause?: unknown): MachineError =>
      new MachineError("boot_failed", `Cannot boot machine "${spec.id}": ${why}`, { cause });
    await boot.until?.catch((error: unknown) => {
      throw failed("its script rejected", error);
    });
    if (boot.fails instanceof Error) throw boot.fails;
    if (boot.fails !== undefined) throw failed(boot.fails);
  }
}
