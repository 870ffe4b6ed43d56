/** Things on the host that no machine may reach: files, sockets and processes that a case can name. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

/** Listens and stands for as long as its scope. */
export class Place implements AsyncDisposable {
  readonly secret: string;
  readonly secretName: string;
  readonly secretPath: string;
  readonly abstractName: string;
  /** The node runs in this process. */
  readonly nodePid = process.pid;
  readonly port: number;
  /** The host's own addresses beside the loopback. */
  readonly addresses: readonly string[];
  /** Paths of the node and of its other machines. */
  paths: readonly string[] = [];
  /** How often something has come to a listener. */
  visits = 0;
  readonly #servers: Server[];

  private constructor(
    facts: Pick<Place, "secret" | "secretName" | "secretPath" | "abstractName">,
    servers: Server[],
  ) {
    this.secret = facts.secret;
    this.secretName = facts.secretName;
    this.secretPath = facts.secretPath;
    this.abstractName = facts.abstractName;
    this.#servers = servers;
    for (const server of servers) {
      server.on("connection", (socket) => {
        this.visits++;
        socket.on("error", () => undefined).destroy();
      });
    }
    const address = servers[0]?.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
    this.addresses = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal)
      .map((entry) => entry.address);
  }

  static async make(directory: string): Promise<Place> {
    const id = randomBytes(6).toString("hex");
    const folder = join(directory, `place-${id}`);
    const secretName = `secret-${id}`;
    const secretPath = join(folder, secretName);
    const secret = randomBytes(16).toString("hex");
    mkdirSync(folder);
    writeFileSync(secretPath, secret);
    const abstractName = `nex-hostile-${id}`;
    const servers = [
      await listening({ host: "0.0.0.0", port: 0 }),
      await listening({ path: `\0${abstractName}` }),
    ];
    return new Place({ secret, secretName, secretPath, abstractName }, servers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server[Symbol.asyncDispose]()));
  }
}

async function listening(options: { host: string; port: number } | { path: string }): Promise<Server> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(options, resolve);
  await promise;
  return server;
}
