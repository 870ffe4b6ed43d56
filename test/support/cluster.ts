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
    const cluster = new Cluster();
    cluster.leafPort = await freePort();
    const ports = await Promise.all(Array.from({ length: serverCount }, freePort));
    const routes = ports.map((port) => `"nats-route://127.0.0.1:${port}"`).join(", ");
    const started = ports.map((port, at) =>
      startTestNatsServer({
        jetstream: false,
        config: [
          `server_name: s${at}`,
          `jetstream { domain: ${domain}, store_dir: "${join(cluster.#stores, String(at))}" }`,
          `cluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }`,
          ...(at === 0 ? [`leafnodes { listen: "127.0.0.1:${cluster.leafPort}" }`] : []),
        ].join("\n"),
      }),
    );
    cluster.servers.push(...(await Promise.all(started)));
    return cluster;
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
    rmSync(this.#stores, { recursive: true, force: true });
  }
}
