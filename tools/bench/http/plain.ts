/** The baselines, each in a process: `node:http` with a request of nats.js for each, and a responder on nats.js. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect, type NatsConnection } from "@nats-io/transport-node";

async function serve(connection: NatsConnection, subject: string): Promise<number> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", async () => {
      const answer = await connection.request(subject, Buffer.concat(chunks), { timeout: 10_000 });
      response.setHeader("Content-Length", answer.data.length);
      response.end(answer.data);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function respond(connection: NatsConnection, subject: string): Promise<number> {
  connection.subscribe(subject, { callback: (_, message) => void message.respond(message.data) });
  await connection.flush();
  return 0;
}

process.on(
  "message",
  async ({ kind, url, subject }: { kind: "serve" | "respond"; url: string; subject: string }) => {
    const connection = await connect({ servers: url });
    process.send?.({ port: await (kind === "serve" ? serve : respond)(connection, subject) });
  },
);
process.on("disconnect", () => process.exit());
