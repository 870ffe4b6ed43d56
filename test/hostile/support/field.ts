/** A nexus in bounds, with neighbours, in which hostile cases run one after the other. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Artifact, Deployment } from "@nexengine/client";
import type { SandboxKind } from "@nexengine/machines";
import { driverSource } from "@nexengine/node/internal";
import { toNexError } from "@nexengine/protocol/errors";
import {
  compileC,
  startTestNexus,
  type TestDeployOptions,
  type TestNexus,
  testDriverFiles,
} from "@nexengine/testing";
import { memoryBytesOf } from "../agent/names.ts";
import type { HostileCase } from "../cases/case.ts";
import { buildHostileAgent } from "./agent-bundle.ts";
import { Attack, type Times } from "./attack.ts";
import { Bounds } from "./bounds.ts";
import { Neighbours, neighbourCount } from "./neighbours.ts";
import { type Holdings, Orphans } from "./orphans.ts";
import { Place } from "./place.ts";
import { Watch } from "./watch.ts";

const poolSize = 2;
/** Limits of a machine that asks for nothing else: small, so that a hostile one ends soon. */
const limits = { vcpus: 0.5, memory_bytes: 134_217_728, disk_bytes: 16_777_216, processes: 64 };
/** With a kernel of its own, which takes memory and boots. */
const microVmLimits = { ...limits, vcpus: 1, memory_bytes: 201_326_592 };
const times: Times = {
  ...{ handshakeMs: 2_000, deployMs: 5_000, callMs: 1_000, machineWaitMs: 10_000 },
  ...{ answerMsMax: 2_000, toldMsMax: 20_000 },
};
/** Emulated, where all takes many times as long. */
const slowTimes: Times = {
  ...{ handshakeMs: 5_000, deployMs: 8_000, callMs: 2_000, machineWaitMs: 100_000 },
  ...{ answerMsMax: 20_000, toldMsMax: 100_000 },
};

/** Differences between kinds of machine. */
interface Ground {
  limits?: typeof limits;
  times: Times;
  /** Absent where nothing is bounded. */
  holdings?: Holdings;
}

const grounds: Record<SandboxKind, Ground> = {
  process: { times },
  container: { limits, times, holdings: { cgroup: true, idRange: true } },
  qemu: { limits: microVmLimits, times: slowTimes, holdings: { cgroup: false, idRange: false } },
  firecracker: { limits: microVmLimits, times: slowTimes, holdings: { cgroup: true, idRange: true } },
};

const bucket = "hostile";
const bucketBytesMax = 67_108_864;
const attackerSource = join(import.meta.dirname, "../fixtures/attacker.c");

export interface FieldOptions {
  sandbox: SandboxKind;
  /** The OCI runtime; for the test of the tests, one that takes a defence away. */
  runtime?(directory: string): string;
}

export class Field implements AsyncDisposable {
  readonly nexus: TestNexus;
  readonly neighbours: Neighbours;
  readonly place: Place;
  readonly #watch: Watch;
  readonly #orphans: Orphans | undefined;
  readonly #stack: AsyncDisposableStack;
  readonly #attacker: Artifact;
  readonly #isMicroVm: boolean;
  readonly #times: Times;
  #count = 0;

  private constructor(parts: Pick<Field, "nexus" | "neighbours" | "place">, rest: FieldRest) {
    this.nexus = parts.nexus;
    this.neighbours = parts.neighbours;
    this.place = parts.place;
    this.#watch = rest.watch;
    this.#orphans = rest.orphans;
    this.#stack = rest.stack;
    this.#attacker = rest.attacker;
    this.#isMicroVm = rest.isMicroVm;
    this.#times = rest.times;
  }

  static async start({ sandbox, runtime }: FieldOptions): Promise<Field> {
    const attackerFile = await compileC(attackerSource);
    assert.ok(attackerFile, "the hostile service can't be built");
    // The files of machines take long to build, and are the same outside of the bounds.
    const driverFiles = testDriverFiles();
    await using stack = new AsyncDisposableStack();
    const bounds = stack.use(new Bounds());
    const { directory, cgroup } = bounds;
    const ground = grounds[sandbox];
    const { handshakeMs, deployMs, callMs, machineWaitMs, answerMsMax } = ground.times;
    const files = {
      ...driverFiles,
      idsDirectory: join(directory, "ids"),
      agentPath: await buildHostileAgent(directory),
      cgroupParent: cgroup.name,
      ...(runtime === undefined ? {} : { runtime: runtime(directory) }),
    };
    const nodeDirectory = join(directory, "node");
    mkdirSync(nodeDirectory, { mode: 0o700 });
    const nexus = stack.use(
      await startTestNexus({
        driver: driverSource({ sandbox, files }),
        directory: nodeDirectory,
        config: {
          machine_pool_size: poolSize,
          agent_handshake_timeout_ms: handshakeMs,
          ...(ground.limits === undefined ? {} : { limits: { default: ground.limits } }),
        },
        tuning: {
          callTimeMs: callMs,
          deployTimeMs: deployMs,
          machineWaitMs,
          stopGraceMs: 500,
          callDrainMs: 200,
          callQueueTimeMs: 3 * callMs,
        },
      }),
    );
    const place = stack.use(await Place.make(directory));
    place.paths = [nodeDirectory, join(nodeDirectory, "machines"), place.secretPath, "/proc/1/root/root"];
    const watch = stack.use(await Watch.start(nexus.client));
    const { key } = await nexus.client.upload(
      { path: attackerFile.path },
      { bucket, key: "attacker", bucketBytesMax },
    );
    const neighbours = stack.use(await Neighbours.start(nexus, answerMsMax));
    const machines = neighbourCount + poolSize;
    const orphans =
      ground.holdings && new Orphans(bounds, nodeDirectory, files.idsDirectory, machines, ground.holdings);
    const attacker = { bucket, key };
    const isMicroVm = sandbox === "qemu" || sandbox === "firecracker";
    return new Field(
      { nexus, neighbours, place },
      { watch, orphans, attacker, isMicroVm, times: ground.times, stack: stack.move() },
    );
  }

  /** Runs a case, and looks at the neighbours and at what is left. @throws AssertionError when it does not hold. */
  async run(hostile: HostileCase): Promise<void> {
    await this.neighbours.check();
    const name = `h${++this.#count}-${hostile.name.replace(/[^a-z0-9]+/gi, "-")}`.slice(0, 60);
    const { visits } = this.place;
    const story = this.#watch.of(name);
    const deployed = await this.#deploy(hostile, name);
    const attack = new Attack(this.nexus, name, story, deployed, this.#times);
    try {
      await (this.#isMicroVm ? (hostile.inMicroVm?.check ?? hostile.check) : hostile.check)(attack);
    } finally {
      await attack.finish();
      this.#watch.forget(name);
    }
    await this.neighbours.check();
    assert.equal(this.place.visits, visits, "something has come to a listener of the host");
    assert.deepEqual(
      await this.#orphans?.left(),
      this.#orphans === undefined ? undefined : [],
      "something is left",
    );
  }

  async #deploy(hostile: HostileCase, name: string): Promise<Deployment | ReturnType<typeof toNexError>> {
    const { artifact, options } = await this.#order(hostile, name);
    try {
      return await this.nexus.deploy(artifact, { name, bucketBytesMax, ...options });
    } catch (error) {
      return toNexError(error);
    }
  }

  async #order(
    hostile: HostileCase,
    name: string,
  ): Promise<{ artifact: Artifact; options: TestDeployOptions }> {
    const given = hostile.limits === undefined ? {} : { limits: hostile.limits };
    const attacker = this.#attacker;
    switch (hostile.kind) {
      case "service":
        return { artifact: attacker, options: { type: "native", argv: hostile.argv(this.place), ...given } };
      case "function": {
        const artifact = { bytes: Buffer.from(hostile.source) };
        return { artifact, options: { type: "v8", triggerSubjects: [name], ...given } };
      }
      case "wasm": {
        const artifact = { bytes: await hostile.module() };
        return { artifact, options: { type: "wasm", triggerSubjects: [name], ...given } };
      }
      case "agent": {
        const limited = { limits: { ...hostile.limits, memoryBytes: memoryBytesOf(hostile.action) } };
        const environment = { PLACE: JSON.stringify(this.place) };
        if (hostile.deployed === "function") {
          const artifact = { bytes: Buffer.from("() => 1") };
          return { artifact, options: { type: "v8", triggerSubjects: [name], environment, ...limited } };
        }
        return { artifact: attacker, options: { type: "native", environment, ...limited } };
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

interface FieldRest {
  watch: Watch;
  orphans: Orphans | undefined;
  attacker: Artifact;
  isMicroVm: boolean;
  times: Times;
  stack: AsyncDisposableStack;
}
