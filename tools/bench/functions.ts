/** Figures of functions: `npm run bench -- functions`. Every round asks all subjects in turn; medians are compared. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connectNex } from "../../packages/client/src/mod.ts";
import { createKey, curveKeyOfSeed, signerOfSeed } from "../../packages/protocol/src/mod.ts";
import { startTestNatsServer } from "../../packages/testing/src/nats-server.ts";
import { sandboxLack } from "../../packages/testing/src/node.ts";
import { commandLineOf } from "../../packages/testing/src/observe.ts";
import type { LoadOrder, LoadResult } from "./functions/load.ts";
import { median, row } from "./support.ts";

const rounds = Number(process.env["NEX_BENCH_ROUNDS"] ?? 5);
const warmMs = 300;
const durationMs = Number(process.env["NEX_BENCH_ROUND_MS"] ?? 1_500);
const ticksPerSecond = 100;

/** Something that answers on a subject, and the processes that work for it. */
interface Candidate {
  name: string;
  subject: string;
  pids: readonly number[];
}

interface Sample extends LoadResult {
  cpuUs: number;
}

/** One size and concurrency. */
interface Load {
  concurrency: number;
  payloadBytes: number;
}

const loads: readonly Load[] = [
  { concurrency: 1, payloadBytes: 16 },
  { concurrency: 16, payloadBytes: 16 },
  { concurrency: 128, payloadBytes: 16 },
  { concurrency: 1024, payloadBytes: 16 },
  { concurrency: 128, payloadBytes: 1_024 },
  { concurrency: 16, payloadBytes: 65_536 },
];

/** Runs the benchmark of functions. */
export async function benchFunctions(): Promise<void> {
  const only = process.env["NEX_BENCH_LOADS"]?.split(",").map(Number);
  const lack = await sandboxLack("container");
  if (lack !== undefined) row("containers", `not run: ${lack}`);
  await using server = await startTestNatsServer();
  await using stack = new AsyncDisposableStack();
  const child = (script: string): ChildProcess => {
    const process = startChild(script);
    stack.defer(async () => {
      process.disconnect();
      await once(process, "exit");
    });
    return process;
  };
  const options = { servers: [server.url] };
  const candidates: Candidate[] = [];
  for (const kind of (["bare", "raw"] as const).filter(() => process.env["NEX_BENCH_ONLY"] === undefined)) {
    const responder = child("responder.ts");
    await ask(responder, { kind, options }, "ready");
    candidates.push({ name: kind, subject: `bench.${kind}`, pids: [responder.pid as number] });
  }
  const kinds = lack === undefined ? (["process", "container"] as const) : (["process"] as const);
  for (const sandbox of kinds.filter((kind) => (process.env["NEX_BENCH_SANDBOX"] ?? kind) === kind)) {
    const node = child("node.ts");
    const { id } = (await ask(node, { server: server.url, sandbox }, "ready")) as { id: string };
    await using client = await connectNex({ servers: [server.url] });
    for (const [mode, source] of [
      ["keep", "export default (subject, payload) => payload"],
      ["fresh", "(subject, payload) => payload"],
    ] as const) {
      if ((process.env["NEX_BENCH_ONLY"] ?? mode) !== mode) continue;
      const before = new Set(agents());
      const subject = `bench.${sandbox}.${mode}`;
      await client.deploy({
        name: `${sandbox}-${mode}`,
        type: "v8",
        triggerSubjects: [subject],
        node: id,
        issuer: signerOfSeed(createKey("account").seed),
        publisher: curveKeyOfSeed(createKey("curve").seed),
        artifact: { bytes: Buffer.from(source) },
      });
      const agent = await theBusyOne(client, subject, before);
      candidates.push({ name: `${sandbox} ${mode}`, subject, pids: [node.pid as number, agent] });
    }
  }
  const load = child("load.ts");
  await ask(load, { connect: options }, "ready");
  for (const [at, one] of loads.entries())
    if (only === undefined || only.includes(at)) await compare(load, candidates, one, server.pid);
}

async function compare(
  load: ChildProcess,
  candidates: readonly Candidate[],
  { concurrency, payloadBytes }: Load,
  serverPid: number,
): Promise<void> {
  const samples = new Map<string, Sample[]>(candidates.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const candidate of candidates) {
      const order = { subject: candidate.subject, concurrency, payloadBytes, warmMs, durationMs };
      samples.get(candidate.name)?.push(await measure(load, candidate, order));
    }
  }
  console.log(`\nc=${concurrency}, ${payloadBytes} bytes (n=${rounds})`);
  const of = (name: string, what: (sample: Sample) => number): number =>
    median((samples.get(name) ?? []).map(what));
  const perSecond = ({ calls, seconds }: Sample): number => calls / seconds;
  const cpuUs = ({ cpuUs: us, calls }: Sample): number => us / calls;
  for (const { name } of candidates) {
    const errors = (samples.get(name) ?? []).reduce((sum, sample) => sum + sample.errors, 0);
    const figures = [
      `${of(name, perSecond).toFixed(0).padStart(7)}/s`,
      `${(of(name, perSecond) / of("bare", perSecond)).toFixed(2)}×`,
      `p50 ${of(name, ({ p50Us }) => p50Us).toFixed(0)} µs (${(of(name, ({ p50Us }) => p50Us) / of("bare", ({ p50Us }) => p50Us)).toFixed(2)}×)`,
      `p99 ${of(name, ({ p99Us }) => p99Us).toFixed(0)} µs (${(of(name, ({ p99Us }) => p99Us) / of("bare", ({ p99Us }) => p99Us)).toFixed(2)}×)`,
      `CPU ${of(name, cpuUs).toFixed(1)} µs (${(of("bare", cpuUs) / of(name, cpuUs)).toFixed(2)})`,
      ...(errors === 0 ? [] : [`${errors} errors`]),
    ];
    console.log(`  ${name.padEnd(18)} ${figures.join("  ")}`);
  }
  void serverPid;
}

async function measure(load: ChildProcess, { pids }: Candidate, order: LoadOrder): Promise<Sample> {
  const began = ask(load, { run: order }, "measuring");
  await began;
  const before = cpuOf(pids);
  await ask(load, undefined, "measuring");
  const cpuUs = cpuOf(pids) - before;
  const { result } = (await ask(load, undefined, "result")) as { result: LoadResult };
  return { ...result, cpuUs };
}

function startChild(script: string): ChildProcess {
  return fork(join(import.meta.dirname, "functions", script), {
    execArgv: ["--conditions=nex-src", "--disable-warning=ExperimentalWarning"],
    serialization: "advanced",
  });
}

/** Sends a message and waits for one with a member of that name. */
async function ask(child: ChildProcess, message: object | undefined, member: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const take = (answer: object): void => {
    if (member in answer) resolve(answer);
  };
  const gone = (): void => reject(new Error("a process of the benchmark has ended"));
  child.on("message", take);
  child.once("exit", gone);
  if (message !== undefined) child.send(message);
  try {
    return await promise;
  } finally {
    child.off("message", take);
    child.off("exit", gone);
  }
}

function agents(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && /agent\.mjs\0/.test(commandLineOf(name)))
    .map(Number);
}

/** Of the agents that are new, the one whose CPU time grows when the subject is called. */
async function theBusyOne(
  client: Awaited<ReturnType<typeof connectNex>>,
  subject: string,
  before: ReadonlySet<number>,
): Promise<number> {
  const fresh = agents().filter((pid) => !before.has(pid));
  const candidates = new Set([...fresh, ...before]);
  const start = new Map([...candidates].map((pid) => [pid, cpuOf([pid])]));
  const call = async (): Promise<void> => {
    for (let count = 0; count < 500; count++) await client.call(subject, "x");
  };
  await Promise.all(Array.from({ length: 16 }, call));
  const grown = ([pid, us]: [number, number]): number => cpuOf([pid]) - us;
  const [busiest] = [...start].sort((a, b) => grown(b) - grown(a));
  if (busiest === undefined) throw new Error("there is no agent");
  return busiest[0];
}

/** CPU time of processes, in microseconds. */
function cpuOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
        .replace(/^.*\) /, "")
        .split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It has ended.
    }
  }
  return (ticks * 1e6) / ticksPerSecond;
}
