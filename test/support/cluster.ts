/** Three nats-servers that form one cluster. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsServer } from "@nexengine/provision";
import { startTestNatsServer } from "@nexengine/testing";

/** JetStream domain of the cluster. */
export const domain = "hub";
const serverCount = 3;
const attemptsMax = 5;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** Three servers that form one, with JetStream on each. */
export class Cluster implements AsyncDisposable {
  readonly servers: NatsServer[] = [];
  leafPort = 0;
  readonly #stores = mkdtempSync(join(tmpdir(), "nex-cluster-"));

  static async start(): Promise<Cluster> {
    for (let attempt = 1; ; attempt++) {
      const cluster = new Cluster();
      try {
        await cluster.#start();
        return cluster;
      } catch (error) {
        await cluster[Symbol.asyncDispose]();
        // Somebody else was quicker to take a port that was free a moment ago.
        if (attempt === attemptsMax || !/belongs to another program/.test(String(error))) throw error;
      }
    }
  }

  async #start(): Promise<void> {
    this.leafPort = await freePort();
    const ports = await Promise.all(Array.from({ length: serverCount }, freePort));
    const routes = ports.map((port) => `"nats-route://127.0.0.1:${port}"`).join(", ");
    const started = ports.map((port, at) =>
      startTestNatsServer({
        jetstream: false,
        config: [
          `server_name: s${at}`,
          `jetstream { domain: ${domain}, store_dir: "${join(this.#stores, String(at))}" }`,
          `cluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }`,
          ...(at === 0 ? [`leafnodes { listen: "127.0.0.1:${this.leafPort}" }`] : []),
        ].join("\n"),
      }),
    );
    const settled = await Promise.allSettled(started);
    this.servers.push(...settled.flatMap((one) => (one.status === "fulfilled" ? one.value : [])));
    for (const one of settled) if (one.status === "rejected") throw one.reason;
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
    rmSync(this.#stores, { recursive: true, force: true });
  }
}
