/** Runs the OCI runtime: start, kill and delete. */
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { runDetached } from "../host/run-program.ts";
import { holdsWithin } from "../host/wait.ts";
import type { Layout } from "./layout.ts";

const logBytesShown = 2_000;

/** An OCI runtime: a program that starts and removes containers. It does not stay running with a machine. */
export class Runtime {
  readonly #program: string;
  readonly #root: string;
  readonly #timeoutMs: number;

  /** @param root State directory of the runtime. */
  constructor(program: string, root: string, timeoutMs: number) {
    this.#program = program;
    this.#root = root;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Creates and starts the container of a bundle. Its output goes to `outputFd`.
   *
   * @returns the reason of a failure.
   */
  async run(id: string, layout: Layout, outputFd: number): Promise<string | undefined> {
    return await this.#logged(layout, ["run", "--detach", ...bundleArgs(layout), id], outputFd);
  }

  /**
   * Creates the container of a bundle without starting its program.
   *
   * @returns the reason of a failure.
   */
  async create(id: string, layout: Layout, outputFd: number): Promise<string | undefined> {
    return await this.#logged(layout, ["create", ...bundleArgs(layout), id], outputFd);
  }

  /** Starts the program of a created container. @returns the reason of a failure. */
  async begin(id: string, layout: Layout): Promise<string | undefined> {
    return await this.#logged(layout, ["start", id], "ignore");
  }

  /** Kills runtime commands for a container whose caller has died. They would recreate what is being removed. */
  async killCommands(id: string): Promise<void> {
    await holdsWithin(() => {
      const pids = commandsFor(id, this.#root);
      for (const pid of pids) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {}
      }
      return pids.length === 0;
    }, this.#timeoutMs);
  }

  /** Kills and removes a container and its cgroups in any state. Succeeds if there is none. */
  async remove(id: string): Promise<string | undefined> {
    return await this.#run(["delete", "--force", id], "ignore");
  }

  async #logged(layout: Layout, args: string[], output: number | "ignore"): Promise<string | undefined> {
    const failure = await this.#run(["--log", layout.log, "--log-format", "json", ...args], output);
    return failure === undefined ? undefined : ((await readLoggedError(layout.log)) ?? failure);
  }

  async #run(args: string[], output: number | "ignore"): Promise<string | undefined> {
    const { PATH = "" } = process.env;
    return await runDetached(this.#program, ["--root", this.#root, ...args], {
      timeoutMs: this.#timeoutMs,
      env: { PATH },
      cwd: "/",
      stdio: ["ignore", output, output],
    });
  }
}

function bundleArgs({ bundle, pidFile }: Layout): string[] {
  return ["--bundle", bundle, "--pid-file", pidFile];
}

/** Lists the pids of runtime commands for this container and state directory. */
function commandsFor(id: string, root: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid) || pid === process.pid) return false;
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return args.includes(root) && args.includes(id);
      } catch {
        return false;
      }
    });
}

/** Returns the last error in the log of a command. */
async function readLoggedError(path: string): Promise<string | undefined> {
  const lines = (await readFile(path, "utf8").catch(() => "")).split("\n").reverse();
  for (const line of lines) {
    try {
      const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
      if (level === "error" && typeof msg === "string") return msg.slice(0, logBytesShown);
    } catch {}
  }
  return undefined;
}
