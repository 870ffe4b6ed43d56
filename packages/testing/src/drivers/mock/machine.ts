import type {
  Channels,
  Machine,
  MachineExit,
  MachineRecord,
  MachineSpec,
  MachineUsage,
} from "@nexengine/machines/internal";
import { MachineError, removeTree, settlesWithin } from "@nexengine/machines/internal";
import { MockGuest } from "./guest.ts";
import type { MockBoot } from "./script.ts";

/** A machine that exists only in memory, except for its directory. */
export class MockMachine implements Machine {
  readonly spec: MachineSpec;
  readonly guest: MockGuest;
  /** Grace periods of all `stop` calls, in ms. */
  readonly stops: number[] = [];
  /** Whether `destroy` has succeeded. */
  destroyed = false;
  readonly #boot: MockBoot;
  #destroyFailures: number;
  #forced = false;
  #isDetached = false;

  constructor(spec: MachineSpec, boot: MockBoot, guest: MockGuest = new MockGuest()) {
    this.spec = spec;
    this.guest = guest;
    this.#boot = boot;
    this.#destroyFailures = boot.destroyFailures ?? 0;
    if (boot.endsAtOnce) this.guest.end(boot.endsAtOnce);
  }

  get id(): string {
    return this.spec.id;
  }

  get exited(): Promise<MachineExit> {
    return this.guest.exited;
  }

  async attach(epoch: number): Promise<Channels> {
    const action = `Cannot attach to machine "${this.id}" for epoch ${epoch}`;
    if (this.guest.ended) throw new MachineError("wrong_state", `${action}: it has exited`);
    if (this.#isDetached) throw new MachineError("wrong_state", `${action}: it was let go of`);
    if (epoch <= this.guest.epoch) {
      throw new MachineError("attach_failed", `${action}: epoch ${this.guest.epoch} has already started`);
    }
    if (this.#boot.attachFails !== undefined) {
      throw new MachineError("attach_failed", `${action}: ${this.#boot.attachFails}`);
    }
    const channels = this.guest.open(epoch);
    if (this.#boot.sends) this.guest.frames.write(this.#boot.sends);
    this.#boot.serves?.(this.guest, epoch);
    return channels;
  }

  detach(): void {
    this.#isDetached = true;
    this.guest.close();
  }

  async usage(): Promise<MachineUsage> {
    return { ...this.#boot.usage };
  }

  async stop(graceMs: number): Promise<{ forced: boolean }> {
    this.stops.push(graceMs);
    if (!this.#boot.ignoresStop) this.guest.exit(0);
    await settlesWithin(this.exited, graceMs);
    this.#kill();
    return { forced: this.#forced };
  }

  async destroy(): Promise<void> {
    this.#kill();
    this.guest.close();
    if (this.#destroyFailures > 0) {
      this.#destroyFailures--;
      throw new MachineError(
        "destroy_failed",
        `Cannot destroy machine "${this.id}": its script makes this call fail`,
      );
    }
    await removeTree(this.spec.directory);
    this.destroyed = true;
  }

  record(): MachineRecord {
    return { driver: "process", id: this.id, directory: this.spec.directory, facts: {} };
  }

  /** Returns the machine as another node recovers it. */
  recovered(): MockMachine {
    return new MockMachine(this.spec, this.#boot, this.guest);
  }

  #kill(): void {
    this.#forced ||= !this.guest.ended;
    this.guest.kill();
  }
}
