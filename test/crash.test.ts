/** A killed node leaves nothing for long, and nothing at all once another one starts in its place. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { connectNex, type Deployment, type NexClient } from "@nexengine/client";
import { createKey, curveKeyOfSeed } from "@nexengine/protocol";
import {
  commandLineOf,
  newSigner,
  probeService,
  startTestNatsServer,
  startTestNode,
  unmetSandboxRequirement,
  until,
} from "@nexengine/testing";
import type { NodeProcessOptions } from "./support/node-process.ts";

const script = join(import.meta.dirname, "support/node-process.ts");
const issuer = newSigner();
const publisher = curveKeyOfSeed(createKey("curve").seed);

/** A node that can be killed, and its state directory, which outlives it. */
class Victim implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nex-victim-"));
  readonly #options: Omit<NodeProcessOptions, "directory">;
  #child: ChildProcess | undefined;

  constructor(options: Omit<NodeProcessOptions, "directory">) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.launch();
    const lines = createInterface({ input: this.#child?.stdout as NodeJS.ReadableStream });
    const [line] = await once(lines, "line");
    assert.match(String(line), /^ready N/);
  }

  /** Starts it without waiting until it is there. */
  launch(): void {
    const options: NodeProcessOptions = { ...this.#options, directory: this.directory };
    this.#child = spawn(process.execPath, ["--conditions=nex-src", script, JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const [status] = await once(child, "exit");
    if (signal === "SIGTERM") assert.equal(status, 0);
  }

  /** The agents of its machines. */
  agents(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && /agent\.mjs\0/.test(commandLineOf(name)))
      .filter((pid) => isBelow(pid, this.directory))
      .map(Number);
  }

  /** All that its machines hold on this host. */
  orphans(): string[] {
    const below = (name: string): string[] =>
      entries(join(this.directory, name)).map((entry) => `${name}/${entry}`);
    return [
      ...this.agents().map((pid) => `agent ${pid}`),
      ...below("machines"),
      ...below("records"),
      ...below("artifacts"),
      ...below("drivers/container/runtime"),
      ...mounts().filter((line) => line.includes(this.directory)),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGTERM");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function mounts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8").split("\n");
}

function isBelow(pid: string, directory: string): boolean {
  try {
    const mounted = readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(
      `${directory.slice(1)}/machines/`,
    );
    return mounted || readlinkSync(`/proc/${pid}/cwd`).startsWith(`${directory}/`);
  } catch {
    return false;
  }
}

async function deploy(client: NexClient, name: string): Promise<Deployment> {
  return await client.deploy({
    name,
    type: "v8",
    issuer,
    publisher,
    artifact: { bytes: Buffer.from("(s, p) => p") },
    triggerSubjects: [name],
  });
}

for (const sandbox of ["process", "container"] as const) {
  const unmet = await unmetSandboxRequirement(sandbox);
  describe(`a killed node (${sandbox})`, unmet === undefined ? {} : { skip: unmet }, () => {
    test("leaves nothing once another one has started in its directory (B24)", async () => {
      await using server = await startTestNatsServer();
      await using client = await connectNex({ servers: [server.url] });
      await using victim = new Victim({ server: server.url, sandbox, nodeLostTimeoutMs: 600_000 });
      await victim.start();
      await deploy(client, "first");
      const before = victim.agents();
      assert.ok(before.length >= 1, "an agent runs");
      await victim.end("SIGKILL");
      await victim.start();
      const after = victim.agents();
      assert.deepEqual(
        before.filter((pid) => after.includes(pid)),
        [],
      );
      await deploy(client, "second");
      assert.equal((await client.call("second", "x")).data.length, 1);
      await victim.end("SIGTERM");
      assert.deepEqual(victim.orphans(), []);
    });

    test("has its machines end by themselves when no other one comes", async () => {
      await using server = await startTestNatsServer();
      await using client = await connectNex({ servers: [server.url] });
      await using victim = new Victim({ server: server.url, sandbox, nodeLostTimeoutMs: 500 });
      await victim.start();
      await deploy(client, "lonely");
      await victim.end("SIGKILL");
      await until(() => victim.agents().length === 0);
      // Their directories are the next node's to remove.
      await victim.start();
      await victim.end("SIGTERM");
      assert.deepEqual(victim.orphans(), []);
    });

    test("leaves nothing, at whatever moment it is killed", async () => {
      await using server = await startTestNatsServer();
      await using victim = new Victim({ server: server.url, sandbox, nodeLostTimeoutMs: 600_000 });
      for (const momentMs of [150, 300, 400, 500, 600, 750]) {
        victim.launch();
        await new Promise((resolve) => setTimeout(resolve, momentMs));
        await victim.end("SIGKILL");
      }
      await victim.start();
      await victim.end("SIGTERM");
      assert.deepEqual(victim.orphans(), []);
    });
  });

  describe(`a node (${sandbox})`, unmet === undefined ? {} : { skip: unmet }, () => {
    test("gives back descriptors, mounts and processes of five machines, one after the other", async () => {
      await using server = await startTestNatsServer();
      await using client = await connectNex({ servers: [server.url] });
      const held = (): string => [entries("/proc/self/fd").length, mounts().length].join(" ");
      // Descriptors that are opened once stay open: the first node is not counted.
      await using first = await startTestNode({ server: server.url, sandbox });
      await first.stop();
      const before = held();
      await using node = await startTestNode({ server: server.url, sandbox });
      for (let round = 0; round < 5; round++) {
        const { nodeId, id: workloadId, name } = await deploy(client, "again");
        assert.equal((await client.call("again", "x")).data.length, 1);
        await client.stop({ nodeId, workloadId, name, issuer });
      }
      await node.stop();
      await until(() => held() === before);
    });
  });
}

/** The services that run in a node's machines, by what their arguments say. */
function services(directory: string, word: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && commandLineOf(name).includes(`\0${word}\0`))
    .filter((pid) => isBelow(pid, directory))
    .map(Number);
}

/** How many processes wait for the end of this service's agent. */
function survivors(service: number | undefined): number {
  const ending = `\0nex-survivor\0${service}\0`;
  return readdirSync("/proc").filter((name) => commandLineOf(name).endsWith(ending)).length;
}

const probe = await probeService();
const withProbe = probe === undefined ? { skip: "no C compiler builds the probe here" } : {};

test(
  "services of a killed node (process) get SIGINT and are killed after their grace",
  withProbe,
  async () => {
    await using server = await startTestNatsServer();
    await using client = await connectNex({ servers: [server.url] });
    await using victim = new Victim({ server: server.url, sandbox: "process", nodeLostTimeoutMs: 600_000 });
    await victim.start();
    const run = (name: string, argv: string[]): Promise<Deployment> =>
      client.deploy({ name, type: "native", issuer, publisher, artifact: { path: probe?.path ?? "" }, argv });
    await run("mild", ["mild", "wait"]);
    await run("stubborn", ["stubborn", "child", "wait"]);
    await until(() => services(victim.directory, "stubborn").length === 2);
    const [mild] = services(victim.directory, "mild");
    assert.ok(survivors(mild) > 0, "something waits for the end of its agent");
    await victim.end("SIGKILL");
    const killedAt = performance.now();
    await until(() => services(victim.directory, "mild").length === 0);
    await until(() => services(victim.directory, "stubborn").length === 0);
    // The grace is 1.5 s; the rest is for a slow host.
    assert.ok(performance.now() - killedAt < 10_000, "they end long before anybody else ends them");
    await until(() => survivors(mild) === 0);
    await victim.start();
    await victim.end("SIGTERM");
    assert.deepEqual(victim.orphans(), []);
  },
);

test("a state directory has one node at a time", async () => {
  await using server = await startTestNatsServer();
  const directory = mkdtempSync(join(tmpdir(), "nex-state-"));
  try {
    await using first = await startTestNode({ server: server.url, directory });
    await assert.rejects(startTestNode({ server: server.url, directory }), {
      code: "state_locked",
      message: /another node uses it/,
    });
    await first.stop();
    await using second = await startTestNode({ server: server.url, directory });
    assert.equal(second.id, first.id, "it comes back as itself");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("nodes without a directory of their own take numbered ones, and clear those that are abandoned", async () => {
  await using server = await startTestNatsServer();
  const nodesDirectory = mkdtempSync(join(tmpdir(), "nex-nodes-"));
  try {
    await using first = await startTestNode({ server: server.url, nodesDirectory });
    await using second = await startTestNode({ server: server.url, nodesDirectory });
    assert.notEqual(first.id, second.id);
    assert.deepEqual(entries(nodesDirectory).sort(), ["1", "2"]);
  } finally {
    rmSync(nodesDirectory, { recursive: true, force: true });
  }
});
