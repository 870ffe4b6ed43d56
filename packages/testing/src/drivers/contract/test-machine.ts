import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { Channels, Driver, Machine, MachineSpec } from "@nexengine/machines/internal";
import { ByteReader } from "../guest/byte-reader.ts";
import type { DriverAbilities } from "./abilities.ts";
import { within } from "./expect.ts";
import { makeSpec } from "./spec.ts";

/** Timeout of everything except a boot, in ms. */
export const actMs = 30_000;

/** A machine with the test guest, destroyed at the end of its scope. */
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

  /** Boots without attaching. */
  static async boot(driver: Driver, abilities: DriverAbilities, spec?: MachineSpec): Promise<TestMachine> {
    const order = spec ?? (await makeSpec());
    const machine = await within(driver.boot(order), abilities.bootTimeoutMs, "the boot");
    return new TestMachine(machine, order, abilities);
  }

  /** Boots, attaches, and waits for the guest's answer. */
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

  /** Sends a command and returns its answer. */
  async ask(command: string): Promise<string> {
    this.frames.write(`${command}\n`);
    return await this.line();
  }

  /** Returns the next line from the guest. */
  async line(timeoutMs = actMs): Promise<string> {
    const line = await within(this.#frames().line(), timeoutMs, "a line from the guest");
    return line ?? assert.fail("The frames ended instead of a line");
  }

  /** Returns the next bytes from the guest; fewer only at the end. */
  async bytes(count: number): Promise<Buffer> {
    return await within(this.#frames().bytes(count), actMs, `${count} bytes from the guest`);
  }

  /** Receives one call. The answer consists of the same bytes and an end byte. */
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
