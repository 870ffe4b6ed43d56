/**
 * Figures of HTTP triggers: `npm run bench -- http`. The listener of a node, before a responder on nats.js and before an
 * echo function, beside `node:http` with a request of nats.js before the same responder, in interleaved rounds; medians.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connectNex, type NexClient } from "../../packages/client/src/mod.ts";
import { createKey, curveKeyOfSeed, signerOfSeed } from "../../packages/protocol/src/mod.ts";
import { httpSubject, routesSubject } from "../../packages/protocol/src/subjects/mod.ts";
import { startTestNatsServer } from "../../packages/testing/src/nats-server.ts";
import { freePort } from "../../test/support/http.ts";
import { ask, cpuOf, startChild } from "./children.ts";
import { eventually, median, row } from "./support.ts";

const rounds = Number(process.env["NEX_BENCH_ROUNDS"] ?? 7);
const durationMs = Number(process.env["NEX_BENCH_ROUND_MS"] ?? 1_500);
const announceMs = 5_000;
const issuer = signerOfSeed(createKey("account").seed);
const publisher = curveKeyOfSeed(createKey("curve").seed);
const echo = "export default (subject, payload) => payload";
const baseline = "node:http, nats.js request, responder";

/** Something that answers HTTP requests. */
interface Candidate {
  name: string;
  port: number;
  path: string;
  /** The process that takes HTTP requests. */
  pid: number;
}

interface Sample {
  perSecond: number;
  cpuUs: number;
}

/** Sends a request, and the next one when it is answered. Answers have a known length of body. */
class Caller {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #bodyBytes: number;
  #text = "";
  #answered: () => void = () => undefined;

  private constructor(socket: Socket, path: string, body: Buffer) {
    this.#socket = socket;
    const head = `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Length: ${body.length}\r\n\r\n`;
    this.#request = Buffer.concat([Buffer.from(head), body]);
    this.#bodyBytes = body.length;
    socket.on("data", (chunk) => this.#take(chunk));
  }

  static async open({ port, path }: Candidate, body: Buffer): Promise<Caller> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    return new Caller(socket, path, body);
  }

  #take(chunk: Buffer): void {
    this.#text += chunk.toString("latin1");
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0 || this.#text.length < end + 4 + this.#bodyBytes) return;
    if (!this.#text.startsWith("HTTP/1.1 200")) throw new Error(`the answer is ${this.#text.slice(0, 200)}`);
    this.#text = "";
    this.#answered();
  }

  async call(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#answered = resolve;
      this.#socket.write(this.#request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function load(candidate: Candidate, connections: number, body: Buffer): Promise<Sample> {
  const callers = await Promise.all(Array.from({ length: connections }, () => Caller.open(candidate, body)));
  const before = cpuOf([candidate.pid]);
  const startedMs = performance.now();
  let count = 0;
  await Promise.all(
    callers.map(async (caller) => {
      while (performance.now() - startedMs < durationMs) {
        await caller.call();
        count++;
      }
    }),
  );
  const elapsedMs = performance.now() - startedMs;
  const cpuUs = (cpuOf([candidate.pid]) - before) / count;
  for (const caller of callers) caller.close();
  return { perSecond: (count * 1_000) / elapsedMs, cpuUs };
}

/** Announces a workload that is no function but a responder. */
function announceResponder({ connection }: NexClient): NodeJS.Timeout {
  const announcement = JSON.stringify({
    ...{ version: 1, copy: "bench", workload_id: "bench", since: 1 },
    routes: [{ route: "/bare", auth: "none" }],
  });
  const announce = (): void => connection.publish(routesSubject("default", "bare"), announcement);
  announce();
  return setInterval(announce, announceMs);
}

/** Runs the benchmark of HTTP triggers. */
export async function benchHttp(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { url } = stack.use(await startTestNatsServer());
  const client = stack.use(await connectNex({ servers: [url] }));
  const subject = httpSubject("default", "bare");
  await ask(startChild("http/plain.ts", stack), { kind: "respond", url, subject }, "port");
  const plain = startChild("http/plain.ts", stack);
  const serving = (await ask(plain, { kind: "serve", url, subject }, "port")) as { port: number };
  const node = startChild("functions/node.ts", stack);
  const port = await freePort();
  await ask(
    node,
    { server: url, sandbox: "process", config: { http: { listen: `127.0.0.1:${port}` } } },
    "ready",
  );
  const timer = announceResponder(client);
  stack.defer(() => clearInterval(timer));
  await client.deploy({
    ...{ name: "echo", type: "v8", issuer, publisher, artifact: { bytes: Buffer.from(echo) } },
    triggers: [{ type: "http", route: "/echo", auth: "none" }],
  });
  const pid = node.pid as number;
  const candidates: Candidate[] = [
    { name: baseline, port: serving.port, path: "/", pid: plain.pid as number },
    { name: "listener, responder", port, path: "/bare", pid },
    { name: "listener, echo function", port, path: "/echo", pid },
  ];
  for (const { path } of candidates.slice(1)) {
    await eventually(async () => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", body: "x" });
      return answer.status === 200;
    });
  }
  for (const [connections, bytes] of [
    [1, 16],
    [64, 16],
    [64, 1_024],
  ] as const) {
    await compare(candidates, connections, Buffer.alloc(bytes, 120));
  }
}

async function compare(candidates: readonly Candidate[], connections: number, body: Buffer): Promise<void> {
  const samples = new Map(candidates.map(({ name }) => [name, [] as Sample[]]));
  for (let round = 0; round <= rounds; round++) {
    for (const candidate of candidates) {
      const sample = await load(candidate, connections, body);
      // The first round warms up.
      if (round > 0) samples.get(candidate.name)?.push(sample);
    }
  }
  const rateOf = (name: string): number =>
    median((samples.get(name) ?? []).map(({ perSecond }) => perSecond));
  for (const { name } of candidates) {
    const cpuUs = median((samples.get(name) ?? []).map((sample) => sample.cpuUs));
    const rate = rateOf(name);
    row(
      `${name}, ${connections} connections, ${body.length} B`,
      `${Math.round(rate)}/s (${(rate / rateOf(baseline)).toFixed(2)}), ${cpuUs.toFixed(0)} µs`,
    );
  }
}
