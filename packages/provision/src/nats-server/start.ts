import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/errors";
import type { NatsServerBinary } from "./find.ts";
import { type Launched, launch, type NatsServerExit } from "./launch.ts";

export type { NatsServerExit } from "./launch.ts";

const readyTimeoutMsDefault = 30_000;
const stopGraceMsDefault = 5_000;

/** How a server is started; only the binary must be given. */
export interface StartNatsServerOptions {
  binary: Pick<NatsServerBinary, "path">;
  /** For JetStream and the log; kept. Without it they go to a temporary directory that is removed in the end. */
  storeDirectory?: string | undefined;
  /** 0 for a free one, which is the default. */
  port?: number;
  /** `127.0.0.1` by default. */
  host?: string;
  /** On by default. */
  jetstream?: boolean;
  /** More configuration, in the syntax of the server's configuration file. */
  config?: string;
  readyTimeoutMs?: number;
  /** How long {@link NatsServer.stop} waits before it kills. */
  stopGraceMs?: number;
  /** Calls the start off, and stops the server later. */
  signal?: AbortSignal | undefined;
}

/** A running nats-server that is ours. It ends with our process at the latest. */
export interface NatsServer extends AsyncDisposable {
  /** For clients on this machine. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly logPath: string;
  /** Settles when the present process of the server has ended, by whatever cause; never rejects. */
  readonly exited: Promise<NatsServerExit>;
  /** Ends it, by force after the grace time, and removes the temporary directory. Idempotent. */
  stop(): Promise<void>;
  /** Ends it abruptly; {@link restart} can start it again. */
  kill(): Promise<void>;
  /** Ends it if it runs, and starts it again with the same port and store. */
  restart(): Promise<void>;
}

/**
 * Starts a nats-server and returns when it is ready for clients.
 *
 * @throws NexError `nats_server_failed` with the end of the server's log, or `nats_server_port_taken`.
 */
export async function startNatsServer(options: StartNatsServerOptions): Promise<NatsServer> {
  const directory = await mkdtemp(join(tmpdir(), "nex-nats-server-"));
  try {
    const store = options.storeDirectory ?? join(directory, "store");
    await mkdir(store, { recursive: true });
    const logPath = join(store, "nats-server.log");
    const host = options.host ?? "127.0.0.1";
    const configArgs = await writeConfig(directory, options.config);
    const start = (port: number) =>
      launch({
        binaryPath: options.binary.path,
        args: [
          ...["-a", host, "-p", String(port === 0 ? -1 : port)],
          ...(options.jetstream === false ? [] : ["-js", "-sd", store]),
          ...configArgs,
        ],
        host,
        directory,
        logPath,
        readyTimeoutMs: options.readyTimeoutMs ?? readyTimeoutMsDefault,
        signal: options.signal,
      });
    await rm(logPath, { force: true });
    const launched = await start(options.port ?? 0);
    const server = new OwnNatsServer(
      launched,
      start,
      directory,
      logPath,
      options.stopGraceMs ?? stopGraceMsDefault,
    );
    options.signal?.addEventListener("abort", () => void server.stop(), { once: true });
    return server;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

async function writeConfig(directory: string, config: string | undefined): Promise<string[]> {
  if (config === undefined) return [];
  const path = join(directory, "nats-server.conf");
  await writeFile(path, config, { mode: 0o600 });
  return ["-c", path];
}

class OwnNatsServer implements NatsServer {
  readonly logPath: string;
  #launched: Launched;
  #stopped: Promise<void> | undefined;
  readonly #start: (port: number) => Promise<Launched>;
  readonly #directory: string;
  readonly #stopGraceMs: number;
  readonly #removeDirectory = () => rmSync(this.#directory, { recursive: true, force: true });

  constructor(
    launched: Launched,
    start: (port: number) => Promise<Launched>,
    directory: string,
    logPath: string,
    stopGraceMs: number,
  ) {
    this.#launched = launched;
    this.#start = start;
    this.#directory = directory;
    this.logPath = logPath;
    this.#stopGraceMs = stopGraceMs;
    process.once("exit", this.#removeDirectory);
  }

  get url(): string {
    return this.#launched.url;
  }
  get port(): number {
    return this.#launched.port;
  }
  get pid(): number {
    return this.#launched.pid;
  }
  get exited(): Promise<NatsServerExit> {
    return this.#launched.exited;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  async #end(): Promise<void> {
    await this.#launched.end(this.#stopGraceMs);
    await rm(this.#directory, { recursive: true, force: true });
    process.off("exit", this.#removeDirectory);
  }

  async kill(): Promise<void> {
    await this.#launched.end(0);
  }

  async restart(): Promise<void> {
    if (this.#stopped !== undefined) {
      throw new NexError(
        "nats_server_failed",
        "Cannot restart nats-server: it has been stopped; start a new one",
      );
    }
    await this.#launched.end(this.#stopGraceMs);
    this.#launched = await this.#start(this.port);
    // Stopped meanwhile: that has ended the previous process only.
    if (this.#stopped !== undefined) await this.#launched.end(this.#stopGraceMs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
