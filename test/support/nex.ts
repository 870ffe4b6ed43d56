/** The command line as people run it: a separate process with its own home. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { defaultCacheDirectory } from "@nexengine/provision";
import { until } from "@nexengine/testing";

const root = join(import.meta.dirname, "../..");

/** The bundle of the command line. */
export const nexPath = join(root, "dist/nex.mjs");

/** How a command has ended. */
export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Options for running a command. */
export interface RunOptions {
  input?: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

/** A command that runs. */
export class RunningNex implements AsyncDisposable {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, cwd: string) {
    this.child = spawn(process.execPath, [nexPath, ...args], { cwd, env, stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      this.stdout += chunk;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.stderr += chunk;
    });
  }

  /** Waits until the output shows something; also returns when the command has ended. */
  async shows(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.stdout + this.stderr) || this.child.exitCode !== null);
  }

  async ended(): Promise<Ended> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "close");
    return { status: this.child.exitCode, stdout: this.stdout, stderr: this.stderr };
  }

  async interrupt(): Promise<Ended> {
    this.child.kill("SIGINT");
    return await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.interrupt();
  }
}

/** A home folder, and commands that run in it; disposing of it removes the folder. */
export class NexHome implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "nex-cli-home-"));

  /** Runs a command to its end. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const running = this.start(args, options);
    running.child.stdin?.end(options.input ?? "");
    return await running.ended();
  }

  /** Starts a command. */
  start(args: readonly string[], options: RunOptions = {}): RunningNex {
    const { PATH, NEX_TEST_RUN } = process.env;
    // A nats-server that is cached already need not be fetched for each home.
    const XDG_CACHE_HOME = dirname(defaultCacheDirectory());
    const env = { PATH, HOME: this.path, TMPDIR: tmpdir(), XDG_CACHE_HOME, NEX_TEST_RUN, ...options.env };
    return new RunningNex(args, env, options.cwd ?? root);
  }

  /** Writes a file into the home. @returns its path. */
  write(name: string, content: string | object): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
