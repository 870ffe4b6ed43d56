/** A nats-server whose configuration changes while it runs, with monitoring over HTTP. */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import type { NatsServer } from "@nexengine/provision";
import { startTestNatsServer } from "@nexengine/testing";
import { until } from "../../packages/testing/src/observe.ts";

export class ReloadableServer implements AsyncDisposable {
  readonly server: NatsServer;
  readonly #monitoring: string;

  private constructor(server: NatsServer, monitoring: string) {
    this.server = server;
    this.#monitoring = monitoring;
  }

  static async start(config: string): Promise<ReloadableServer> {
    const monitoring = `127.0.0.1:${await freePort()}`;
    const server = await startTestNatsServer({ config: withMonitoring(config, monitoring) });
    return new ReloadableServer(server, monitoring);
  }

  get url(): string {
    return this.server.url;
  }

  /** How often a pattern stands in the server's log. */
  logged(pattern: RegExp): number {
    return readFileSync(this.server.logPath, "utf8").match(pattern)?.length ?? 0;
  }

  /** Changes the configuration. Returns once the server has it. */
  async reload(config: string): Promise<void> {
    const reloads = /Reloaded server configuration/g;
    const before = this.logged(reloads);
    const path = join(dirname(dirname(this.server.logPath)), "nats-server.conf");
    writeFileSync(path, withMonitoring(config, this.#monitoring));
    process.kill(this.server.pid, "SIGHUP");
    await until(() => this.logged(reloads) > before);
  }

  /** Names of the open connections. */
  async connectionNames(): Promise<string[]> {
    const answer = await fetch(`http://${this.#monitoring}/connz`);
    const { connections } = (await answer.json()) as { connections: { name?: string }[] };
    return connections.map(({ name = "" }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}

function withMonitoring(config: string, monitoring: string): string {
  return `http: "${monitoring}"\n${config}`;
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const listener = createServer().listen(0, "127.0.0.1", () => {
    const address = listener.address();
    listener.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
  });
  return await promise;
}
