/** A node in a process of its own that can be killed, and what it leaves on this host. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { commandLineOf } from "@nexengine/testing";
import type { NodeProcessOptions } from "./node-process.ts";

const script = join(import.meta.dirname, "node-process.ts");

/** A module that is loaded before a node. */
export interface Preload {
  path: string;
  environment: Readonly<Record<string, string>>;
}

/** A node that can be killed, and its state directory, which outlives it. */
export class Victim implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nex-victim-"));
  options: Omit<NodeProcessOptions, "directory">;
  /** Module that is loaded before the node. */
  preload: Preload | undefined;
  /** Further variables of its environment. */
  environment: Readonly<Record<string, string>> = {};
  #child: ChildProcess | undefined;

  constructor(options: Omit<NodeProcessOptions, "directory">) {
    this.options = options;
  }

  /** Starts it, and waits until it takes deploys. @throws AssertionError when it ends before */
  async start(): Promise<void> {
    this.launch();
    const lines = createInterface({ input: this.#child?.stdout as NodeJS.ReadableStream });
    const line = await Promise.race([once(lines, "line").then(([first]) => first), this.exited]);
    assert.match(String(line ?? "the node has ended"), /^ready N/);
  }

  /** Settles when the process that was started last has ended. */
  exited: Promise<undefined> = Promise.resolve(undefined);
  /** The signal that has ended it; absent when it runs, or has exited. */
  signal: NodeJS.Signals | undefined;

  /** Process id of the running node. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it without waiting until it is there. */
  launch(): void {
    const options: NodeProcessOptions = { ...this.options, directory: this.directory };
    const { path, environment } = this.preload ?? {};
    const flags = ["--conditions=nex-src", ...(path === undefined ? [] : [`--import=${path}`])];
    this.#child = spawn(process.execPath, [...flags, script, JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...this.environment, ...environment },
    });
    this.signal = undefined;
    this.exited = once(this.#child, "exit").then(([, signal]) => {
      this.signal = signal ?? undefined;
      return undefined;
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
      ...mounts().filter((line) => line.includes(`${this.directory}/`)),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGTERM");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

export function mounts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8").split("\n");
}

export function isBelow(pid: string, directory: string): boolean {
  try {
    const mounted = readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(
      `${directory.slice(1)}/machines/`,
    );
    return mounted || readlinkSync(`/proc/${pid}/cwd`).startsWith(`${directory}/`);
  } catch {
    return false;
  }
}
