/** All rows about one kind of microVM in one place. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cpioArchive } from "../../../packages/machines/src/internal.ts";
import type { Driver, Machine, MachineSpec } from "../../../packages/machines/src/mod.ts";
import { startTestNexus } from "../../../packages/testing/src/nexus.ts";
import { benchDeploys, type DeployCounts, poolSize } from "../first-reply.ts";
import { readyMachine } from "../ready-machine.ts";
import { median, quantile, row, timeMs } from "../support.ts";
import { agentTimeoutMs } from "./bare.ts";
import type { Compared } from "./kinds.ts";

const mebibyte = 1_048_576;
const memoryBytes = 268_435_456;
/** Machines with this limit are alike; with all others, each is the only one of its kind. */
const alike = 99;
const initMode = 0o100755;
const initWords = "[nex: the first program]";
const initTimeoutMs = 60_000;
/** Time limits of a node, where each step takes seconds. */
const patience = { machineWaitMs: 100_000, callTimeMs: 20_000, deployTimeMs: 60_000, stopGraceMs: 15_000 };

/** How often each thing is done. */
export interface Counts extends DeployCounts {
  boots: number;
  copies: number;
  idle: number;
}

/** A kind of microVM in one place. */
export class Place {
  readonly #name: string;
  readonly #compared: Compared;
  readonly #directory: string;
  readonly #counts: Counts;
  #machines = 0;

  /**
   * @param name Begins each row, and says what is emulated.
   * @param directory Where machines have theirs.
   */
  constructor(name: string, compared: Compared, directory: string, counts: Counts) {
    this.#name = name;
    this.#compared = compared;
    this.#directory = directory;
    this.#counts = counts;
  }

  /** Prints all rows; those that can't be had are said to have failed, and the exit code tells it too. */
  async bench(): Promise<void> {
    const { driver } = this.#compared;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    try {
      for (const [what, bench] of [
        ["boot until init", () => this.#benchInit()],
        ["boots", () => this.#benchBoots()],
        ["copies", () => this.#benchCopies()],
        ["idle machines", () => this.#benchIdle()],
        ["pool", () => this.#benchPool()],
      ] as const) {
        await bench().catch((error: unknown) => {
          row(`${this.#name}: ${what}`, `failed: ${String(error)}`);
          process.exitCode = 1;
        });
      }
    } finally {
      await driver.close?.();
    }
  }

  /** Measures the time before the first program of a guest: that program turns the machine off. */
  async #benchInit(): Promise<void> {
    const { initramfs, driverOf } = this.#compared;
    const { boots } = this.#counts;
    const endsAtOnce = join(this.#directory, "initramfs");
    const init = {
      path: "init",
      mode: initMode,
      data: Buffer.from(`#!/bin/sh\necho "${initWords}"\nreboot -f\n`),
    };
    // With two archives behind each other, the second one's files replace the first one's.
    await writeFile(endsAtOnce, Buffer.concat([await readFile(initramfs), cpioArchive([init])]));
    const driver = driverOf(endsAtOnce);
    const times: number[] = [];
    for (let boot = 0; boot < boots; boot++) times.push(await this.#endsMs(driver));
    row(
      `${this.#name}: boot → init has turned the machine off (n=${boots})`,
      `median ${median(times).toFixed(0)} ms, p95 ${quantile(times, 0.95).toFixed(0)} (aim by KVM: at most 125)`,
    );
  }

  async #endsMs(driver: Driver): Promise<number> {
    const spec = this.#spec(this.#unlike());
    await mkdir(spec.directory, { mode: 0o700 });
    const startedAt = performance.now();
    const machine = await driver.boot(spec);
    const late = setTimeout(() => void machine.stop(0), initTimeoutMs);
    const { reason, console: said } = await machine.exited;
    const tookMs = performance.now() - startedAt;
    clearTimeout(late);
    await machine.destroy();
    if (reason === "killed" || !said.includes(initWords))
      throw new Error(`a machine was not turned off by its init: ${reason}, ${said}`);
    return tookMs;
  }

  async #benchBoots(): Promise<void> {
    const { bare } = this.#compared;
    const { boots } = this.#counts;
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let boot = 0; boot < boots; boot++) {
      theirs.push(await bare.bootMs(this.#spec(this.#unlike())));
      ours.push(await this.#readyMs(this.#unlike()));
    }
    row(
      `${this.#name}: boot → agent ready, against a bare boot of the same files (n=${boots}, interleaved)`,
      compared(ours, theirs),
    );
  }

  async #benchCopies(): Promise<void> {
    const { bare, stateDirectory } = this.#compared;
    const { copies } = this.#counts;
    // The second of a kind makes the template.
    for (let machine = 0; machine < 2; machine++) await this.#readyMs(alike);
    const [template] = await readdir(join(stateDirectory, "templates"));
    if (template === undefined) throw new Error("the driver has made no template");
    const from = join(stateDirectory, "templates", template);
    const [ours, theirs, reseeded]: [number[], number[], number[]] = [[], [], []];
    for (let copy = 0; copy < copies; copy++) {
      theirs.push(await bare.restoreMs(this.#spec(alike), from, false));
      reseeded.push(await bare.restoreMs(this.#spec(alike), from, true));
      ours.push(await this.#readyMs(alike));
    }
    const what = `${this.#name}: reseeded copy → agent ready, against a bare restore of the same template`;
    row(`${what}, not reseeded (n=${copies}, interleaved)`, compared(ours, theirs));
    row(`${what}, reseeded too (n=${copies}, interleaved)`, compared(ours, reseeded));
  }

  async #benchIdle(): Promise<void> {
    const { idle } = this.#counts;
    const machines: Machine[] = [];
    try {
      const tookMs = await timeMs(async () => {
        for (let one = 0; one < idle; one++) machines.push(await this.#ready(alike));
      });
      row(
        `${this.#name}: machines per second, copies one after the other (n=${idle})`,
        `${((idle * 1_000) / tookMs).toFixed(1)} per second`,
      );
      const used = await Promise.all(machines.map((machine) => machine.usage()));
      const each = median(used.map(({ memoryBytes: bytes = Number.NaN }) => bytes)) / mebibyte;
      row(`${this.#name}: memory per idle machine, proportional (n=${idle})`, `${each.toFixed(0)} MiB`);
    } finally {
      for (const machine of machines) await machine.destroy();
    }
  }

  async #benchPool(): Promise<void> {
    const { driver } = this.#compared;
    const config = { machine_pool_size: poolSize };
    await using nexus = await startTestNexus({ driver, config, tuning: patience });
    await benchDeploys(this.#name, nexus, this.#counts);
  }

  async #readyMs(processes: number): Promise<number> {
    const startedAt = performance.now();
    const machine = await this.#ready(processes);
    const tookMs = performance.now() - startedAt;
    await machine.destroy();
    return tookMs;
  }

  async #ready(processes: number): Promise<Machine> {
    return await readyMachine(this.#compared.driver, this.#spec(processes), agentTimeoutMs);
  }

  /** @param processes The limit that makes machines alike, or not. */
  #spec(processes: number): MachineSpec {
    const id = `bench${++this.#machines}`;
    return {
      id,
      directory: join(this.#directory, id),
      limits: { memoryBytes, processes },
      network: "none",
      nodeLostTimeoutMs: agentTimeoutMs,
    };
  }

  #unlike(): number {
    return alike + 1 + this.#machines;
  }
}

function compared(ours: readonly number[], theirs: readonly number[]): string {
  const [a, b] = [median(ours), median(theirs)];
  const tails = [ours, theirs].map((times) => quantile(times, 0.95).toFixed(0));
  return `median ${a.toFixed(0)} against ${b.toFixed(0)} ms, ${(a / b).toFixed(2)} times (aim: at most 1.1); p95 ${tails.join(" against ")}`;
}
