/** Does harm to the node, the server, the connection between them, and the host. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pick } from "../../support/random.ts";
import { runs } from "./host-abilities.ts";
import type { Model } from "./model.ts";
import type { Blow, LastingFault } from "./schedule.ts";
import type { World } from "./world.ts";

/** Room that a full disk leaves: less than a record needs. */
const chunkBytes = 65_536;
const jumpSeconds = 150;

export class Faults {
  readonly #world: World;
  readonly #model: Model;
  readonly #random: () => number;
  readonly #lasting: Readonly<Record<LastingFault, (lastsMs: number) => Promise<void>>>;
  readonly #blows: Readonly<Record<Blow, () => Promise<void>>>;

  /** @param random Chooses the machine that is killed. */
  constructor(world: World, model: Model, random: () => number) {
    this.#world = world;
    this.#model = model;
    this.#random = random;
    const { proxy } = world;
    const meanwhile = async (begin: () => void, end: () => void, lastsMs: number): Promise<void> => {
      begin();
      try {
        await delay(lastsMs);
      } finally {
        end();
      }
    };
    const pause = (pid: number, lastsMs: number): Promise<void> =>
      meanwhile(
        () => process.kill(pid, "SIGSTOP"),
        () => process.kill(pid, "SIGCONT"),
        lastsMs,
      );
    const disturb = (state: Parameters<typeof proxy.set>[0], lastsMs: number): Promise<void> =>
      meanwhile(
        () => proxy.set(state),
        () => proxy.set("open"),
        lastsMs,
      );
    this.#lasting = {
      "pause node": (ms) => pause(world.victim.pid ?? 0, ms),
      "pause server": (ms) => pause(world.server.pid, ms),
      "stalled server": (ms) => disturb("stalled", ms),
      partition: (ms) => disturb("dropping", ms),
      "cut connections": (ms) => disturb("cut", ms),
      "full disk": (ms) => this.#fullDisk(ms),
      "no descriptors": (ms) => this.#noDescriptors(ms),
      "clock jump": (ms) =>
        meanwhile(
          () => world.setClock(`${this.#random() < 0.5 ? "+" : "-"}${jumpSeconds}`),
          () => world.setClock("+0"),
          ms,
        ),
    };
    this.#blows = {
      "kill node": () => this.#killNode(),
      "kill agent": () => Promise.resolve(this.#killMachine(false)),
      "kill machine": () => Promise.resolve(this.#killMachine(true)),
      "kill server": async () => {
        await world.server.kill();
        await world.server.restart();
      },
    };
  }

  /** Does it, and returns when the fault is over. */
  async run(fault: Blow | LastingFault, lastsMs: number): Promise<void> {
    if (fault in this.#blows) await this.#blows[fault as Blow]();
    else await this.#lasting[fault as LastingFault](lastsMs);
  }

  async #killNode(): Promise<void> {
    const { victim, leftovers } = this.#world;
    leftovers.note();
    await victim.end("SIGKILL");
    await victim.start();
  }

  /** @param isWhole Whether all its processes are killed, or the agent alone. */
  #killMachine(isWhole: boolean): void {
    const machines = this.#world.machines().filter(({ pids }) => pids.length > 0);
    if (machines.length === 0) return;
    const { workloadId, pids } = pick(this.#random, machines);
    this.#model.machineKilled(workloadId);
    for (const pid of isWhole ? pids : pids.slice(0, 1)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended with the first one.
      }
    }
  }

  async #fullDisk(lastsMs: number): Promise<void> {
    const { victim, abilities } = this.#world;
    if (!abilities.mounts) return;
    const filler = join(victim.directory, "filler");
    try {
      fill(filler);
      await delay(lastsMs);
    } finally {
      rmSync(filler, { force: true });
    }
  }

  async #noDescriptors(lastsMs: number): Promise<void> {
    const { victim, abilities } = this.#world;
    if (!abilities.limitsProcesses || victim.pid === undefined) return;
    const pid = String(victim.pid);
    const open = readdirSync(`/proc/${pid}/fd`).length;
    const limit = (soft: number): boolean => runs("prlimit", "--pid", pid, `--nofile=${soft}:`);
    try {
      limit(open);
      await delay(lastsMs);
    } finally {
      limit(this.#world.descriptorsMax);
    }
  }
}

/** Writes until nothing fits any more. */
function fill(path: string): void {
  const chunk = Buffer.alloc(chunkBytes);
  for (const size of [chunkBytes, 1_024, 1]) {
    try {
      for (;;) writeFileSync(path, chunk.subarray(0, size), { flag: "a" });
    } catch {
      // No room for this much.
    }
  }
}
