import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Driver, MachineRecord, MachineSpec } from "@nexengine/machines/internal";
import { findProgram, runProgram, runTool } from "@nexengine/machines/internal";
import { within } from "../drivers/contract/expect.ts";
import { makeSpec } from "../drivers/contract/spec.ts";
import { actMs } from "../drivers/contract/test-machine.ts";
import type { Commands } from "./lab-node.ts";

/** Resolved up front, because a test may give a node another `nsenter`. */
const nsenter = (await findProgram("nsenter")) ?? "nsenter";

/** Driver of the machines in a lab. */
export interface LabDriver {
  kind: MachineRecord["driver"];
  /** Module that exports `makeDriver`, which accepts option overrides. */
  module: URL;
  bootTimeoutMs: number;
}

/** Addresses in the lab: of the host and of the world around it. */
export const places = {
  host: "192.0.2.1",
  world: "192.0.2.2",
  allowed: "203.0.113.10",
  other: "203.0.113.11",
  dns: "203.0.113.53",
  private: "10.99.0.1",
  metadata: "169.254.169.254",
} as const;

/**
 * Two network namespaces: a host, and the world it is connected to. The world has a route only to the host's address,
 * so packets of machines must carry it. Everything is removed at the end of the scope.
 */
export class NetworkLab implements AsyncDisposable {
  readonly host: string;
  readonly #driver: LabDriver;
  readonly #world: string;
  readonly #programs: ChildProcess[] = [];
  readonly #orders: MachineSpec[] = [];

  private constructor(driver: LabDriver) {
    this.#driver = driver;
    this.host = `nextesthost${process.pid}`;
    this.#world = `nextestworld${process.pid}`;
  }

  static async make(driver: LabDriver): Promise<NetworkLab> {
    const lab = new NetworkLab(driver);
    try {
      await lab.#connect();
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Creates the spec of a machine with egress; its directory is removed with the lab. */
  async order(egress: MachineSpec["egress"], change: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    const further = egress && { egress };
    const order = await makeSpec({ network: "egress", nodeLostTimeoutMs: actMs, ...further, ...change });
    this.#orders.push(order);
    return order;
  }

  /** Runs a tool in the host's namespace. @returns its output. */
  async onHost(tool: "ip" | "nft", ...args: string[]): Promise<string> {
    const { output, failure } = await runTool("nsenter", [
      `--net=/run/netns/${this.host}`,
      "--",
      tool,
      ...args,
    ]);
    assert.equal(failure, undefined);
    return output;
  }

  /** Reports whether the host forwards packets. */
  async forwards(): Promise<boolean> {
    const args = [`--net=/run/netns/${this.host}`, "--", "cat", "/proc/sys/net/ipv4/ip_forward"];
    return (await runProgram("nsenter", args, { timeoutMs: actMs })).output.trim() === "1";
  }

  /** Runs a tool in a machine's network namespace, which only the host can do. */
  async inside({ facts }: MachineRecord, tool: "ip" | "nft", ...args: string[]): Promise<string> {
    const { output, failure } = await runTool("nsenter", [
      `--net=/proc/${facts["pid"]}/ns/net`,
      "--",
      tool,
      ...args,
    ]);
    assert.equal(failure, undefined);
    return output;
  }

  /** Starts servers and collects the source addresses that they see. */
  async serve(where: "host" | "world", names: readonly string[]): Promise<string[]> {
    const program = fileURLToPath(new URL("./greeters.ts", import.meta.url));
    const child = this.#start(where === "host" ? this.host : this.#world, [program, ...names]);
    const seen: string[] = [];
    const ready = Promise.withResolvers<void>();
    createInterface({ input: child.stdout ?? assert.fail() }).on("line", (line) => {
      if (line === "ready") ready.resolve();
      else seen.push(line);
    });
    await within(ready.promise, actMs, "the servers");
    return seen;
  }

  /** Starts a node on the host. */
  node(options: object = {}, env: NodeJS.ProcessEnv = {}): LabNode {
    const program = fileURLToPath(new URL("./lab-node.ts", import.meta.url));
    const { module, bootTimeoutMs } = this.#driver;
    const args = [program, module.href, String(bootTimeoutMs), JSON.stringify(options)];
    return new LabNode(this.#start(this.host, args, env), bootTimeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#programs) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    const { kind, module } = this.#driver;
    const left = this.#orders.filter((order) => existsSync(order.directory));
    if (left.length > 0) {
      const { makeDriver } = (await import(module.href)) as { makeDriver(): Driver };
      for (const { id, directory } of left) {
        await makeDriver().recover?.({ driver: kind, id, directory, facts: {} });
      }
    }
    for (const name of [this.host, this.#world]) await runTool("ip", ["netns", "delete", name]);
  }

  #start(namespace: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const command = [`--net=/run/netns/${namespace}`, "--", process.execPath, ...process.execArgv, ...args];
    const child = spawn(nsenter, command, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...env },
    });
    this.#programs.push(child);
    return child;
  }

  async #connect(): Promise<void> {
    const { host, world, ...others } = places;
    const ip = async (namespace: string | undefined, commands: string[]): Promise<void> => {
      const inNamespace = namespace === undefined ? [] : ["-netns", namespace];
      const { failure } = await runTool("ip", [...inNamespace, "-batch", "-"], `${commands.join("\n")}\n`);
      assert.equal(failure, undefined);
    };
    await ip(undefined, [`netns add ${this.host}`, `netns add ${this.#world}`]);
    await ip(this.host, [
      `link add up0 type veth peer name down0 netns ${this.#world}`,
      "link set lo up",
      `address add ${host}/24 dev up0`,
      "link set up0 up",
      `route add default via ${world}`,
    ]);
    await ip(this.#world, [
      "link set lo up",
      `address add ${world}/24 dev down0`,
      ...Object.values(others).map((address) => `address add ${address}/32 dev lo`),
      "link set down0 up",
    ]);
  }
}

/** Handle of a lab node. Runs commands one at a time. */
export class LabNode {
  readonly #child: ChildProcess;
  readonly #timeoutMs: number;
  readonly #lines: AsyncIterator<string>;

  /** @param bootTimeoutMs Timeout of each command, in ms. */
  constructor(child: ChildProcess, bootTimeoutMs: number) {
    this.#child = child;
    this.#timeoutMs = Math.max(bootTimeoutMs, actMs);
    this.#lines = createInterface({ input: child.stdout ?? assert.fail() })[Symbol.asyncIterator]();
  }

  async tell<Name extends keyof Commands>(
    name: Name,
    ...args: Parameters<Commands[Name]>
  ): Promise<Awaited<ReturnType<Commands[Name]>>> {
    this.#child.stdin?.write(`${JSON.stringify([name, ...args])}\n`);
    const { value, done } = await within(this.#lines.next(), this.#timeoutMs, `the answer to ${name}`);
    assert.ok(!done, `The node exited before it answered ${name}`);
    const { result, error } = JSON.parse(value) as {
      result: Awaited<ReturnType<Commands[Name]>>;
      error?: string;
    };
    assert.equal(error, undefined);
    return result;
  }

  /** Runs a command that must fail. @returns the error text. */
  async refusal<Name extends keyof Commands>(
    name: Name,
    ...args: Parameters<Commands[Name]>
  ): Promise<string> {
    const failure = await this.tell(name, ...args).then(
      () => undefined,
      (error: unknown) => error,
    );
    return failure instanceof assert.AssertionError ? String(failure.actual) : assert.fail("Not refused");
  }

  /** Kills the node, like a crash. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await within(gone, actMs, "the end of the node");
  }
}
