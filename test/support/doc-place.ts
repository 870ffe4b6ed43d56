/** A folder and a home in which the commands of one document are typed, with a NATS server of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  accessSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { defaultCacheDirectory, type NatsServer } from "@nexengine/provision";
import { startTestNatsServer, until } from "@nexengine/testing";

const root = join(import.meta.dirname, "../..");

/** Commands that stay until they are ended, and what shows that they have begun. */
const staying: readonly [command: RegExp, shows: RegExp][] = [
  [/\bnex up\b/, /Ctrl-C here/],
  [/\bnex node up\b/, /node runs/],
  [/\bnex (?:logs(?!.*--tail)|events)\b/, /Ctrl-C ends/],
];

/** How a command has ended, or that it stays. */
export interface Typed {
  status: number | null;
  output: string;
  stdout: string;
}

export class DocPlace implements AsyncDisposable {
  readonly path: string;
  readonly home: string;
  readonly server: NatsServer;
  readonly #staying: ChildProcess[] = [];
  /** Variables that `export` has set. */
  readonly #exports: string[] = [];

  private constructor(path: string, server: NatsServer) {
    this.path = path;
    this.home = join(path, "home");
    this.server = server;
  }

  /** Makes a folder that looks like a checkout: `nex`, `examples`, and nothing else. */
  static async open(): Promise<DocPlace> {
    const path = mkdtempSync(join(tmpdir(), "nex-docs-"));
    const place = new DocPlace(path, await startTestNatsServer());
    mkdirSync(place.home);
    symlinkSync(join(root, "tools/bootstrap.mjs"), join(path, "nex"));
    cpSync(join(root, "examples"), join(path, "examples"), { recursive: true });
    return place;
  }

  /** Writes a file. @returns its path. */
  write(name: string, content: string | object, mode = 0o600): string {
    const path = join(this.path, name);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content), { mode });
    return path;
  }

  get environment(): NodeJS.ProcessEnv {
    const { PATH = "", NEX_TEST_RUN, NEX_NATS_SERVER } = process.env;
    const cache = join(homedir(), ".cache/go-build");
    return {
      // The guides write "nex"; the README says how it comes there.
      PATH: `${this.path}${delimiter}${PATH}`,
      HOME: this.home,
      TMPDIR: tmpdir(),
      NEX_TEST_RUN,
      NEX_NATS_SERVER,
      XDG_CACHE_HOME: dirname(defaultCacheDirectory()),
      GOCACHE: cache,
      NATS_URL: this.server.url,
    };
  }

  /** Types a command. One that stays is left running once it has begun. */
  async type(command: string): Promise<Typed> {
    const exported = /^export [A-Z_]+=.*$/.exec(command)?.[0];
    if (exported !== undefined) this.#exports.push(exported);
    const shows = staying.find(([pattern]) => pattern.test(command))?.[1];
    const script = [...this.#exports, shows === undefined ? command : `exec ${command}`].join("\n");
    const child = spawn("sh", ["-c", script], { cwd: this.path, env: this.environment, stdio: "pipe" });
    child.stdin.end();
    let output = "";
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    if (shows === undefined) {
      await once(child, "close");
      return { status: child.exitCode, output, stdout };
    }
    this.#staying.push(child);
    await until(() => shows.test(output) || child.exitCode !== null);
    return { status: child.exitCode ?? 0, output, stdout };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#staying.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGTERM");
      await once(child, "close");
    }
    await this.server.stop();
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Is a program on the PATH? */
export function hasProgram(name: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
