import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { Channels, Driver, Machine, MachineSpec } from "../driver.ts";
import type { DriverAbilities } from "./abilities.ts";
import { ByteReader } from "./byte-reader.ts";
import { within } from "./expect.ts";
import { makeSpec } from "./spec.ts";

/** How long anything but a boot may take. */
export const actMs = 30_000;

/** A machine with the test guest in it, destroyed at the end of its scope. */
export class TestMachine implements AsyncDisposable {
  readonly machine: Machine;
  readonly spec: MachineSpec;
  readonly #abilities: DriverAbilities;
  #channels: Channels | undefined;
  #frameReader: ByteReader | undefined;
  #callReader: ByteReader | undefined;

  constructor(machine: Machine, spec: MachineSpec, abilities: DriverAbilities) {
    this.machine = machine;
    this.spec = spec;
    this.#abilities = abilities;
  }

  /** Boots, without attaching. */
  static async boot(driver: Driver, abilities: DriverAbilities, spec?: MachineSpec): Promise<TestMachine> {
    const order = spec ?? (await makeSpec());
    const machine = await within(driver.boot(order), abilities.bootTimeoutMs, "the boot");
    return new TestMachine(machine, order, abilities);
  }

  /** Boots and attaches; the guest answers. */
  static async ready(driver: Driver, abilities: DriverAbilities): Promise<TestMachine> {
    const machine = await TestMachine.boot(driver, abilities);
    try {
      await machine.attach(1);
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      const { reason, console } = await machine.machine.exited;
      if (error instanceof Error) error.message += `; its machine (${reason}) has said: ${console}`;
      throw error;
    }
  }

  get frames(): Duplex {
    return this.#attached().frames;
  }

  get calls(): Duplex {
    return this.#attached().calls;
  }

  /** Attaches and waits for the guest's hello. */
  async attach(epoch: number): Promise<void> {
    this.#channels = await within(this.machine.attach(epoch), this.#abilities.bootTimeoutMs, "the attach");
    this.#frameReader = new ByteReader(this.#channels.frames);
    this.#callReader = new ByteReader(this.#channels.calls);
    this.frames.write(`attach ${epoch}\nhello\n`);
    await this.line(this.#abilities.bootTimeoutMs);
  }

  /** Sends a command, and returns the line that answers it. */
  async ask(command: string): Promise<string> {
    this.frames.write(`${command}\n`);
    return await this.line();
  }

  /** The next line from the guest. */
  async line(timeoutMs = actMs): Promise<string> {
    const line = await within(this.#frames().line(), timeoutMs, "a line from the guest");
    return line ?? assert.fail("The frames ended instead of a line");
  }

  /** The next bytes from the guest; fewer only at the end. */
  async bytes(count: number): Promise<Buffer> {
    return await within(this.#frames().bytes(count), actMs, `${count} bytes from the guest`);
  }

  /** Takes one call, and returns its bytes and what answers it: the same bytes, and one for their end. */
  async takeCall(): Promise<{ request: Buffer; answer: () => void }> {
    const reader = this.#callReader ?? assert.fail("Not attached");
    const header = await within(reader.line(), actMs, "a call");
    const request = await within(reader.bytes(Number(header)), actMs, "the bytes of a call");
    return { request, answer: () => this.calls.write(Buffer.concat([request, Buffer.from("\n")])) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await within(this.machine.destroy(), actMs, "the destroy");
    } finally {
      await rm(this.spec.directory, { recursive: true, force: true });
    }
  }

  #attached(): Channels {
    return this.#channels ?? assert.fail("Not attached");
  }

  #frames(): ByteReader {
    return this.#frameReader ?? assert.fail("Not attached");
  }
}
