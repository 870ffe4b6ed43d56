/** HTTP requests of tests: by a client that sets every header itself, and by bare sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import type { Deployment, DeployOptions, NexClient } from "@nexengine/client";
import type { NexNode } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol";
import type { TriggerRequest } from "@nexengine/protocol/messages";
import { eventually } from "../../packages/testing/src/observe.ts";
import { deploy } from "./counting.ts";

export type HttpRoute = Extract<TriggerRequest, { type: "http" }>;

/** An HTTP trigger that everybody may call, unless the options say otherwise. */
export const route = (text: string, more: Partial<HttpRoute> = {}): HttpRoute => ({
  type: "http",
  route: text,
  auth: "none",
  ...more,
});

/** Configuration of a listener on a free port. */
export const anyPort = { listen: "127.0.0.1:0" } as const;

/** Deploys a function that only HTTP requests invoke. */
export function deployRoutes(
  client: NexClient,
  name: string,
  source: string,
  triggers: readonly TriggerRequest[],
  more: Partial<DeployOptions> = {},
): Promise<Deployment> {
  const artifact = { bytes: Buffer.from(source) };
  return deploy(client, { name, artifact, triggerSubjects: [], triggers, ...more });
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface HttpAsk {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer;
}

/** One request on a connection of its own. */
export async function ask(
  { httpAddress }: Pick<NexNode, "httpAddress">,
  path: string,
  { method = "GET", headers = {}, body }: HttpAsk = {},
): Promise<HttpAnswer> {
  const { hostname, port } = new URL(`http://${httpAddress}`);
  const sent = request({ host: hostname, port, path, method, headers, agent: false });
  sent.end(body);
  const [response] = await once(sent, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() };
}

/** Asks until the status is the wanted one. Before, the route may be unknown yet, or nobody may take requests. */
export function askUntil(
  node: Pick<NexNode, "httpAddress">,
  path: string,
  status: number,
  options: HttpAsk = {},
): Promise<HttpAnswer> {
  return eventually(async () => {
    const answer = await ask(node, path, options);
    if (answer.status === status) return answer;
    assert.ok([200, 404, 503].includes(answer.status), `${path}: ${answer.status} ${answer.body}`);
    return undefined;
  });
}

/** Sends bytes, and reads all that comes until the listener closes the connection. */
export async function exchange({ httpAddress }: Pick<NexNode, "httpAddress">, text: string): Promise<string> {
  const { hostname, port } = new URL(`http://${httpAddress}`);
  const socket = connect({ host: hostname, port: Number(port) });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("error", () => undefined);
  socket.write(text, "latin1");
  // A reset is an end like any other.
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string")
    throw new NexError("internal", "Cannot find a free port");
  return address.port;
}
