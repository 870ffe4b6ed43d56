/** Figures of machines: `npm run bench -- machines`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { driverSource } from "../../packages/node/src/sandbox/choose.ts";
import { startTestNexus, type TestNexus } from "../../packages/testing/src/nexus.ts";
import { testDriverFiles, unmetSandboxRequirement } from "../../packages/testing/src/node.ts";
import { commandLineOf, logsOf } from "../../packages/testing/src/observe.ts";
import { echoFunctionPath, visitorService } from "../../packages/testing/src/samples.ts";
import { benchDeploys, poolSize } from "./first-reply.ts";
import { benchGrowth } from "./growth.ts";
import { benchMicroVms } from "./microvms.ts";
import { readyMachine } from "./ready-machine.ts";
import { median, row, timeMs } from "./support.ts";

const boots = 15;
const deploys = 30;
const deploysInARow = 100;
const handshakeTimeoutMs = 10_000;
const idleMachines = 200;
const deploysAtOnce = 4;
const relayRounds = 5;
const bytesPerKilobyte = 1_024;

type Kind = "process" | "container";

/** Runs every benchmark of machines. */
export async function benchMachines(): Promise<void> {
  const unmet = await unmetSandboxRequirement("container");
  if (unmet !== undefined) row("containers", `not run: ${unmet}`);
  const kinds: readonly Kind[] = unmet === undefined ? ["process", "container"] : ["process"];
  if (unmet === undefined) await benchBoot();
  for (const kind of kinds) await benchPool(kind);
  await benchGrowth();
  if (unmet === undefined) await benchRelay();
  for (const kind of kinds) await benchMemory(kind);
  await benchMicroVms();
}

/** A machine until its agent has said hello, against a container of the same runtime and Node that does nothing. */
async function benchBoot(): Promise<void> {
  const state = await mkdtemp(join(tmpdir(), "nex-bench-boot-"));
  try {
    const driver = await driverSource({ sandbox: "container", files: testDriverFiles() }).choose(state);
    const found = await driver.fingerprint();
    const rootfs = found.available ? (found.details["rootfs"] ?? "") : "";
    const bare = await BareContainer.make(join(state, "bare"), rootfs);
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let boot = 0; boot < boots; boot++) {
      theirs.push(await timeMs(() => bare.run()));
      const id = `boot${boot}`;
      const spec = {
        id,
        directory: join(state, id),
        limits: {},
        network: "nats",
        nodeLostTimeoutMs: handshakeTimeoutMs,
      } as const;
      const startedAt = performance.now();
      const machine = await readyMachine(driver, spec, handshakeTimeoutMs);
      ours.push(performance.now() - startedAt);
      await machine.destroy();
    }
    const [a, b] = [median(ours), median(theirs)];
    row(
      `container: boot → agent ready, against a bare runc run of Node (n=${boots})`,
      `${a.toFixed(0)} against ${b.toFixed(0)} ms, ${(a - b).toFixed(0)} ms more (aim: at most 40)`,
    );
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

/** The time that `runc` itself takes for a Node that ends at once, with the runtime's own sample configuration. */
class BareContainer {
  readonly #bundle: string;
  #runs = 0;

  private constructor(bundle: string) {
    this.#bundle = bundle;
  }

  static async make(bundle: string, rootfs: string): Promise<BareContainer> {
    await mkdir(bundle, { recursive: true });
    await once(spawn("runc", ["spec", "--bundle", bundle], { stdio: "inherit" }), "exit");
    const path = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8"));
    config.process.terminal = false;
    config.process.args = ["/usr/bin/node", "-e", "0"];
    config.root = { path: rootfs, readonly: true };
    const needed = new Set(["/proc", "/dev"]);
    config.mounts = config.mounts.filter(({ destination }: { destination: string }) =>
      needed.has(destination),
    );
    await writeFile(path, JSON.stringify(config));
    return new BareContainer(bundle);
  }

  async run(): Promise<void> {
    const args = ["run", "--bundle", this.#bundle, `nex-bench-${process.pid}-${this.#runs++}`];
    await once(spawn("runc", args, { stdio: ["ignore", "inherit", "inherit"] }), "exit");
  }
}

/** From a pool that is full before each deploy, and one deploy after the other. */
async function benchPool(sandbox: Kind): Promise<void> {
  await using nexus = await startTestNexus({ sandbox, config: { machine_pool_size: poolSize } });
  await benchDeploys(sandbox, nexus, { deploys, deploysInARow });
}

/** The same client, in a machine through the relay and as a process of the host, against one responder. */
async function benchRelay(): Promise<void> {
  const visitor = await visitorService(console.log);
  if (visitor === undefined) {
    row("relay", "not run: no Go builds the client here");
    return;
  }
  await using nexus = await startTestNexus({
    sandbox: "container",
    config: { limits: { default: { vcpus: 2 } } },
  });
  const { connection } = nexus.client;
  connection.subscribe("bench.relay", { callback: (_, message) => void message.respond(message.data) });
  const target = `127.0.0.1:${nexus.server.port}`;
  for (const [what, count, parallel, bytes, aim] of [
    ["c=1, 16 bytes", 3_000, 1, 16, 0.45],
    ["c=128, 16 bytes", 30_000, 128, 16, 0.65],
    ["c=128, 4 KiB", 15_000, 128, 4_096, 0.4],
  ] as const) {
    const errand = ["hammer", target, "bench.relay", String(count), String(parallel), String(bytes)];
    const direct: number[] = [];
    const relayed: number[] = [];
    for (let round = 0; round < relayRounds; round++) {
      direct.push(rate(await outputOf(visitor.path, errand)));
      relayed.push(rate(await relayedOutput(nexus, visitor.path, errand)));
    }
    const [a, b] = [median(relayed), median(direct)];
    row(
      `relay into a container, ${what}, against a direct connection (n=${relayRounds})`,
      `${(a / b).toFixed(2)} of its requests per second (${a.toFixed(0)} of ${b.toFixed(0)}; aim ${aim})`,
    );
  }
}

function rate(line: string): number {
  return Number(/(\d+) requests\/s/.exec(line)?.[1] ?? Number.NaN);
}

async function outputOf(path: string, args: readonly string[]): Promise<string> {
  const child = spawn(path, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, "close");
  return output;
}

async function relayedOutput(nexus: TestNexus, path: string, argv: readonly string[]): Promise<string> {
  let deployment: Awaited<ReturnType<TestNexus["deploy"]>> | undefined;
  const [line = ""] = await logsOf(nexus, 1, async () => {
    deployment = await nexus.deploy({ path }, { name: "hammer", type: "native", argv: [...argv, "wait"] });
  });
  if (deployment !== undefined) await nexus.stop(deployment);
  return line;
}

/** Proportional memory of the agents of idle functions, by the kernel's count. */
async function benchMemory(sandbox: Kind): Promise<void> {
  await using nexus = await startTestNexus({ sandbox, config: { machine_pool_size: deploysAtOnce } });
  const before = new Set(agents());
  const { bucket, key, sha256 } = await nexus.client.upload({ path: echoFunctionPath }, { key: "bench" });
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < idleMachines; at = next++) {
      const name = `idle${at}`;
      await nexus.deploy(
        { bucket, key, sha256 },
        { name, type: "v8", triggerSubjects: [name], node: nexus.node.id },
      );
    }
  };
  await Promise.all(Array.from({ length: deploysAtOnce }, worker));
  const running = agents().filter((pid) => !before.has(pid));
  const kilobytes = running.map(proportionalKilobytes).reduce((sum, value) => sum + value, 0);
  const each = (kilobytes * bytesPerKilobyte) / running.length / 1e6;
  row(
    `${sandbox}: memory per idle function, proportional (n=${idleMachines})`,
    `${each.toFixed(1)} MB (aim: ${sandbox === "process" ? 10 : 12})`,
  );
}

function agents(): string[] {
  return readdirSync("/proc").filter(
    (name) => /^\d+$/.test(name) && /agent\.mjs\0/.test(commandLineOf(name)),
  );
}

function proportionalKilobytes(pid: string): number {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
