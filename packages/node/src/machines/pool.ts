/** The warm pool: machines that boot before anybody asks for them. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Driver, MachineRecord, MachineSpec } from "@nexengine/machines";
import { NexError, toNexError } from "@nexengine/protocol/errors";
import type { Logger } from "pino";
import type { Budget } from "../budget/budget.ts";
import type { MachineRecords } from "../state/machine-records.ts";
import { type Adoption, Machine } from "./machine.ts";

/** Delay after a failed boot, doubling up to the maximum. */
const retryFirstMs = 100;
const retryMaxMs = 30_000;
/** Delay before a reserved machine is replaced. */
const refillDelayMs = 50;

/** Owner of the warm pool's boots; no namespace has this name. */
const poolOwner = "";

/** Template for booting a machine. */
export type MachineTemplate = Omit<MachineSpec, "id" | "directory" | "nodeLostTimeoutMs">;

/** Options for a pool. */
export interface PoolOptions {
  driver: Driver;
  /** Parent of the machine directories. */
  directory: string;
  records: MachineRecords;
  budget: Budget;
  /** Number of this node in its state directory. */
  epoch: number;
  /** Template of the warm machines. */
  template: MachineTemplate;
  size: number;
  handshakeTimeoutMs: number;
  nodeLostTimeoutMs: number;
  log: Logger;
}

interface Waiter {
  resolve(machine: Machine): void;
  reject(error: NexError): void;
}

export class Pool implements AsyncDisposable {
  readonly #options: PoolOptions;
  readonly #ready: Machine[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #booting = new Set<Promise<void>>();
  /** Boots with other templates. */
  readonly #special = new Set<Promise<void>>();
  #retry: NodeJS.Timeout | undefined;
  #refillTimer: NodeJS.Timeout | undefined;
  #failures = 0;
  #lastFailure: NexError | undefined;
  /** Prefix of machine ids, so that ids of two runs of a node differ. */
  readonly #idPrefix = `m${randomBytes(5).toString("hex")}x`;
  readonly #templateKey: string;
  #nextId = 1;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#templateKey = JSON.stringify(options.template);
  }

  /** Number of ready machines. */
  get readyCount(): number {
    return this.#ready.length;
  }

  /** Whether a ready machine fits this template. */
  fits(template: MachineTemplate): boolean {
    return JSON.stringify(template) === this.#templateKey;
  }

  /**
   * Boots the first machine.
   *
   * @throws NexError `no_ready_machine` when it fails, because all others would fail too.
   */
  async start(): Promise<void> {
    await this.#boot(true);
    this.#refill();
  }

  /** Boots machines in the background; failures are logged and tried again. */
  fill(): void {
    this.#refill();
  }

  /**
   * Reserves a ready machine, or waits for one. A machine with another template is booted.
   *
   * @param namespace Its boots take turns with those of other namespaces and of the pool.
   * @throws NexError `no_ready_machine`
   */
  async reserve(template: MachineTemplate, namespace: string, timeoutMs: number): Promise<Machine> {
    if (this.#closed) throw noMachine("the node is stopping", undefined);
    const machine = !this.fits(template)
      ? await this.#bootSpecial(template, namespace, timeoutMs)
      : (this.#ready.shift() ?? (await this.#wait(timeoutMs)));
    if (machine.state !== "ready") {
      // Lost after its hello.
      await machine.end(0);
      throw noMachine(`machine ${machine.id} is ${machine.state}`, undefined);
    }
    machine.reserve();
    this.#refillLater();
    return machine;
  }

  /** Refills later: a boot takes CPU time from the deploy that has just got a machine. Waiters do not wait. */
  #refillLater(): void {
    this.#refillTimer ??= setTimeout(() => {
      this.#refillTimer = undefined;
      this.#refill();
    }, refillDelayMs);
  }

  async #bootSpecial(template: MachineTemplate, namespace: string, timeoutMs: number): Promise<Machine> {
    const booting = this.#options.budget.boots.run(namespace, timeoutMs, async () => {
      if (this.#closed) throw noMachine("the node is stopping", undefined);
      const machine = await this.#bootMachine(template);
      if (!this.#closed) return machine;
      await machine.end(0);
      throw noMachine("the node is stopping", undefined);
    });
    const settled = booting.then(
      () => undefined,
      () => undefined,
    );
    this.#special.add(settled);
    try {
      return await booting;
    } finally {
      this.#special.delete(settled);
    }
  }

  /** Takes over a machine of an earlier node; see `Machine.adopt`. */
  async adopt(record: MachineRecord, adoption: Adoption): ReturnType<typeof Machine.adopt> {
    return await Machine.adopt(this.#options.driver, record, this.#options, adoption);
  }

  #bootMachine(template: MachineTemplate): Promise<Machine> {
    const { driver, directory, nodeLostTimeoutMs } = this.#options;
    const id = `${this.#idPrefix}${this.#nextId++}`;
    const spec = { ...template, id, directory: join(directory, id), nodeLostTimeoutMs };
    return Machine.boot(driver, spec, this.#options);
  }

  async #wait(timeoutMs: number): Promise<Machine> {
    const { promise, resolve, reject } = Promise.withResolvers<Machine>();
    const waiter: Waiter = { resolve, reject };
    const timer = setTimeout(() => {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      reject(noMachine(`none became ready within ${timeoutMs} ms`, this.#lastFailure));
    }, timeoutMs);
    this.#waiters.push(waiter);
    this.#refill();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #refill(): void {
    if (this.#closed || this.#retry !== undefined) return;
    const wanted = this.#options.size + this.#waiters.length - this.#ready.length - this.#booting.size;
    for (let boot = 0; boot < wanted; boot++) {
      const booting = this.#boot(false).finally(() => {
        this.#booting.delete(booting);
        this.#refill();
      });
      this.#booting.add(booting);
    }
  }

  async #boot(first: boolean): Promise<void> {
    const { log, template, size, budget } = this.#options;
    try {
      const machine = await budget.boots.run(poolOwner, retryMaxMs, async () => {
        // Others may have become ready, or given up, in the meantime.
        const isWanted = this.#ready.length < size + this.#waiters.length;
        return isWanted && !this.#closed ? await this.#bootMachine(template) : undefined;
      });
      if (machine === undefined) return;
      this.#failures = 0;
      this.#lastFailure = undefined;
      if (this.#closed) await machine.end(0);
      else this.#admit(machine);
    } catch (thrown) {
      const error = toNexError(thrown, "no_ready_machine");
      if (first) throw error;
      log.warn({ reason: error.message }, "machine did not boot");
      this.#backOff(error);
    }
  }

  #admit(machine: Machine): void {
    machine.whenIdleLost((why) => {
      const at = this.#ready.indexOf(machine);
      if (at >= 0) this.#ready.splice(at, 1);
      this.#options.log.warn({ machine: machine.id, reason: why }, "ready machine was lost");
      void machine.end(0);
      this.#backOff(noMachine(why, undefined));
    });
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#ready.push(machine);
    else waiter.resolve(machine);
  }

  #backOff(error: NexError): void {
    this.#lastFailure = error;
    if (this.#closed || this.#retry !== undefined) return;
    const delayMs = Math.min(retryFirstMs * 2 ** this.#failures++, retryMaxMs);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#refill();
    }, delayMs);
  }

  /** Stops all ready and booting machines. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#refillTimer);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(noMachine("the node is stopping", undefined));
    const ready = this.#ready.splice(0).map((machine) => machine.end(0));
    await Promise.all([...ready, ...this.#booting, ...this.#special]);
  }
}

function noMachine(why: string, cause: NexError | undefined): NexError {
  const because = cause === undefined ? why : `${why} (${cause.message})`;
  return new NexError("no_ready_machine", `Failed to get agent client from pool: ${because}`, { cause });
}
