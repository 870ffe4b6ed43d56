/**
 * Figures of functions: `npm run bench -- functions`, which writes docs/benchmarks.md too. Every round asks all
 * candidates in turn, medians are compared, and each is a ratio to the bare responder of the same run.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { Kvm } from "@nats-io/kv";
import { connectNex, type NexClient } from "../../packages/client/src/mod.ts";
import { createKey, curveKeyOfSeed, signerOfSeed } from "../../packages/protocol/src/mod.ts";
import { compileGo } from "../../packages/testing/src/compile.ts";
import { compileWasm } from "../../packages/testing/src/compile-wasm.ts";
import { startTestNatsServer } from "../../packages/testing/src/nats-server.ts";
import { startTestNexus } from "../../packages/testing/src/nexus.ts";
import { unmetSandboxRequirement } from "../../packages/testing/src/node.ts";
import { commandLineOf } from "../../packages/testing/src/observe.ts";
import { hasOpenssl, TestAuthority } from "../../test/support/certificates.ts";
import { ask, cpuOf, startChild } from "./children.ts";
import type { LoadResult, LoadSpec } from "./functions/load.ts";
import { type Aim, judge, type Load, Report } from "./report.ts";
import { eventually, median } from "./support.ts";

const rounds = Number(process.env["NEX_BENCH_ROUNDS"] ?? 5);
const durationMs = Number(process.env["NEX_BENCH_ROUND_MS"] ?? 1_500);
const warmMs = 300;
const wasmExamples = join(import.meta.dirname, "../../examples/wasm");

/** Something that answers on a subject, and the processes that work for it. */
interface Candidate {
  name: string;
  subjects: readonly string[];
  pids: readonly number[];
}

type Sample = LoadResult & { cpuUs: number };

const loads: readonly Load[] = [
  { concurrency: 1, payloadBytes: 16 },
  { concurrency: 16, payloadBytes: 16 },
  { concurrency: 128, payloadBytes: 16 },
  { concurrency: 1_024, payloadBytes: 16 },
  { concurrency: 128, payloadBytes: 1_024 },
  { concurrency: 16, payloadBytes: 65_536 },
];
const baseline = "nats.js, bare";
const callsForMemory = Number(process.env["NEX_BENCH_MEMORY_CALLS"] ?? 10_000_000);
const functionsAtOnce = 64;

/** Runs the benchmark of functions. */
export async function benchFunctions(): Promise<void> {
  const report = new Report();
  const unmet = await unmetSandboxRequirement("container");
  await using server = await startTestNatsServer();
  report.line("# Benchmarks of functions");
  report.line();
  report.line(
    `Written by \`${command()}\`. An echo function, called through its node and its machine, beside bare`,
  );
  report.line(
    "responders in interleaved rounds; medians. CPU is that of all processes that answer: responder, or node and agent.",
  );
  report.line(
    "Limits and deadlines are on. Behind each figure stands its ratio to the bare responder on nats.js.",
  );
  report.line();
  const version = readFileSync(server.logPath, "utf8").match(/Version: +(\S+)/)?.[1] ?? "?";
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "?"}`;
  const date = new Date().toISOString().slice(0, 10);
  report.line(
    `${date}, ${machine}, Node ${process.versions.node}, nats-server ${version}, ${rounds} rounds of ${durationMs} ms.`,
  );
  if (unmet !== undefined) report.line(`Containers were not run: ${unmet}.`);
  const kinds = unmet === undefined ? (["process", "container"] as const) : (["process"] as const);
  await benchCalls(report, server.url, kinds);
  await benchEncrypted(report);
  await benchManyFunctions(report, server.url);
  await benchHostService(report);
  await benchRunaway(report);
  report.line();
  report.line(
    "Where an aim of the path itself is missed, profiles of node and agent show what is left: a third of the node's time",
  );
  report.line(
    "and a tenth of the agent's is the kernel's write to a socket, and no function of ours has two hundredths. A call",
  );
  report.line("passes four sockets where a bare responder's passes two.");
  report.write();
}

/** The command that repeats this run. */
function command(): string {
  const given = ["NEX_BENCH_ROUNDS", "NEX_BENCH_ROUND_MS", "NEX_BENCH_MEMORY_CALLS"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [`${name}=${value} `];
  });
  return `${given.join("")}npm run bench -- functions`;
}

async function benchCalls(
  report: Report,
  url: string,
  kinds: readonly ("process" | "container")[],
): Promise<void> {
  await using field = new Field(url);
  const candidates = [await field.responder("bare", baseline), await field.responder("raw", "by hand, bare")];
  const go = await field.goResponder();
  if (go !== undefined) candidates.push(go);
  for (const sandbox of kinds) {
    const { node, id } = await field.node(sandbox);
    for (const [mode, source] of [
      ["keep", "export default (subject, payload) => payload"],
      ["fresh", "(subject, payload) => payload"],
    ] as const)
      candidates.push(await field.fn(node, id, `${sandbox}-${mode}`, source));
    if (sandbox !== kinds.at(-1)) continue;
    for (const [language, source] of [
      ["C", "echo.c"],
      ["Rust", "echo.rs"],
    ] as const) {
      const built = await compileWasm(join(wasmExamples, source), console.log);
      const name = `${sandbox}-wasm-${language}`;
      if (built !== undefined) candidates.push(await field.fn(node, id, name, readFileSync(built.path)));
      else console.log(`${name}: not run, no compiler builds it here`);
    }
  }
  const load = await field.load();
  for (const one of loads) await compare(report, load, candidates, one);
  const ours = candidates.filter(({ name }) => /keep$/.test(name));
  for (const candidate of ours) await memoryOver(report, load, candidate);
}

/** With a login and encrypted, one load. */
async function benchEncrypted(report: Report): Promise<void> {
  report.line();
  report.line("## Encrypted, with a login");
  if (!hasOpenssl()) {
    report.line();
    report.line("Not run: no openssl makes certificates here.");
    return;
  }
  using authority = new TestAuthority();
  const { cert, key } = authority.issue("server", "IP:127.0.0.1,DNS:localhost");
  const config = `tls { cert_file: "${cert}", key_file: "${key}" }\nauthorization { user: u, password: p }`;
  await using server = await startTestNatsServer({ config });
  await using field = new Field(server.url, { user: "u", password: "p", tls: { ca: authority.caText } });
  const candidates = [await field.responder("bare", baseline)];
  const { node, id } = await field.node("process");
  candidates.push(await field.fn(node, id, "process-keep", "export default (subject, payload) => payload"));
  candidates.push(await field.fn(node, id, "process-fresh", "(subject, payload) => payload"));
  await compare(report, await field.load(), candidates, { concurrency: 128, payloadBytes: 16 });
}

async function compare(
  report: Report,
  load: ChildProcess,
  candidates: readonly Candidate[],
  { concurrency, payloadBytes }: Load,
): Promise<void> {
  const samples = new Map<string, Sample[]>(candidates.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const candidate of candidates) {
      const spec = { subjects: candidate.subjects, concurrency, payloadBytes, warmMs, durationMs };
      samples.get(candidate.name)?.push(await measure(load, candidate, spec));
    }
  }
  const of = (name: string, what: (sample: Sample) => number): number =>
    median((samples.get(name) ?? []).map(what));
  const beside = (
    name: string,
    what: (sample: Sample) => number,
    digits: number,
    inverse = false,
  ): string => {
    const [ours, bare] = [of(name, what), of(baseline, what)];
    return `${ours.toFixed(digits)} (${(inverse ? bare / ours : ours / bare).toFixed(2)})`;
  };
  report.line();
  report.line(`## c=${concurrency}, ${payloadBytes} bytes`);
  report.table(
    ["", "requests/s", "median µs", "p99 µs", "CPU µs a request (bare ÷ this)"],
    candidates.map(({ name }) => {
      const errors = (samples.get(name) ?? []).reduce((sum, sample) => sum + sample.errors, 0);
      return [
        errors === 0 ? name : `${name} (${errors} errors)`,
        beside(name, ({ calls, seconds }) => calls / seconds, 0),
        beside(name, ({ p50Us }) => p50Us, 0),
        beside(name, ({ p99Us }) => p99Us, 0),
        beside(name, ({ cpuUs, calls }) => cpuUs / calls, 1, true),
      ];
    }),
  );
  const values: Record<Aim["what"], (sample: Sample) => number> = {
    "requests/s": ({ calls, seconds }) => calls / seconds,
    CPU: ({ cpuUs, calls }) => calls / cpuUs,
    median: ({ p50Us }) => p50Us,
    p99: ({ p99Us }) => p99Us,
  };
  const names = candidates.map(({ name }) => name);
  judge(report, names, { concurrency, payloadBytes }, (name, what) => {
    return of(name, values[what]) / of(baseline, values[what]);
  });
}

/** Memory of node and agent over very many calls: what grows is printed. */
async function memoryOver(report: Report, load: ChildProcess, candidate: Candidate): Promise<void> {
  const spec = {
    subjects: candidate.subjects,
    concurrency: 1_024,
    payloadBytes: 16,
    warmMs,
    durationMs: 5_000,
  };
  await measure(load, candidate, spec);
  const before = candidate.pids.map(residentBytes);
  // Memory kept for the first calls is kept once; memory that goes on growing is seen in the second half.
  let middle: { calls: number; bytes: number } | undefined;
  let calls = 0;
  while (calls < callsForMemory) {
    calls += (await measure(load, candidate, spec)).calls;
    if (calls >= callsForMemory / 2) middle ??= { calls, bytes: sum(candidate.pids.map(residentBytes)) };
  }
  const after = candidate.pids.map(residentBytes);
  const [node = 0, agent = 0] = after.map((bytes, at) => (bytes - (before[at] ?? 0)) / 1e6);
  const slope =
    middle === undefined || middle.calls === calls
      ? "its second half was too short to tell a slope"
      : `in the second half ${signed((sum(after) - middle.bytes) / (calls - middle.calls))} MB for a million`;
  report.line();
  report.line(
    `Memory over ${(calls / 1e6).toFixed(1)} million calls of ${candidate.name}: node ${signed(node)} MB, agent ${signed(agent)} MB; ${slope}.`,
  );
}

async function benchManyFunctions(report: Report, url: string): Promise<void> {
  await using field = new Field(url);
  const { node, id } = await field.node("process");
  const source = "export default (subject, payload) => payload";
  const all: Candidate[] = [];
  for (let at = 0; at < functionsAtOnce; at++) all.push(await field.fn(node, id, `many${at}`, source));
  const one = all[0] as Candidate;
  const many = {
    name: "many",
    subjects: all.flatMap(({ subjects }) => subjects),
    pids: all.flatMap(({ pids }) => pids),
  };
  const load = await field.load();
  const rates = new Map<Candidate, number[]>([
    [one, []],
    [many, []],
  ]);
  for (let round = 0; round < rounds; round++) {
    for (const [candidate, list] of rates) {
      const spec = {
        subjects: candidate.subjects,
        concurrency: 1_024,
        payloadBytes: 16,
        warmMs,
        durationMs,
      };
      const { calls, seconds } = await measure(load, candidate, spec);
      list.push(calls / seconds);
    }
  }
  const [alone, together] = [median(rates.get(one) ?? []), median(rates.get(many) ?? [])];
  report.line();
  report.line("## Further figures");
  report.line();
  report.line(
    `- ${functionsAtOnce} functions at once, c=1024: ${together.toFixed(0)} requests/s together, one alone ${alone.toFixed(0)}: ${(together / alone).toFixed(2)} (aim: 0.9 to 1.1).`,
  );
}

/** `hostServices.kv.get` in a function, against `get` of the bare client, both one after the other. */
async function benchHostService(report: Report): Promise<void> {
  await using nexus = await startTestNexus();
  const gets = 1_000;
  await nexus.function(
    `export default (subject, payload) => {
      hostServices.kv.set("k", "0123456789abcdef");
      const startedAt = performance.now();
      for (let get = 0; get < ${gets}; get++) hostServices.kv.get("k");
      return (performance.now() - startedAt) * 1000 / ${gets};
    }`,
    { name: "f" },
  );
  const kv = await new Kvm(nexus.client.connection).create("bare");
  await kv.put("k", "0123456789abcdef");
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(Number(await nexus.call("f")));
    const startedAt = performance.now();
    for (let get = 0; get < gets; get++) await kv.get("k");
    bare.push(((performance.now() - startedAt) * 1_000) / gets);
  }
  const [a, b] = [median(ours), median(bare)];
  report.line(
    `- \`hostServices.kv.get\`: ${a.toFixed(0)} µs, the bare client ${b.toFixed(0)} µs: ${(a / b).toFixed(2)} (aim: 1.3).`,
  );
}

/** A call in an endless loop: from its limit until the calls behind it are served. */
async function benchRunaway(report: Report): Promise<void> {
  const limitMs = 300;
  await using nexus = await startTestNexus({
    tuning: { callTimeMs: limitMs },
    config: { machine_pool_size: 2 },
  });
  await nexus.function("(s, p) => { if (p.length > 0) for (;;); return 1; }", { name: "f" });
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await eventually(
      async () => (await nexus.client.nodes({ timeoutMs: 200 }))[0]?.nex?.ready_machines === 2,
    );
    await nexus.call("f");
    const startedAt = performance.now();
    const bad = nexus.call("f", "x").catch(() => undefined);
    await Promise.all([1, 2, 3, 4, 5].map(() => nexus.call("f")));
    times.push(performance.now() - startedAt - limitMs);
    await bad;
  }
  report.line(
    `- A runaway function, from its limit until the calls behind it are served: ${median(times).toFixed(0)} ms (aim: 50).`,
  );
}

/** How the processes of a benchmark log in. */
interface Login {
  user?: string;
  password?: string;
  tls?: { ca: string };
}

/** The processes of a benchmark. */
class Field implements AsyncDisposable {
  readonly #url: string;
  readonly #login: Login;
  readonly #stack = new AsyncDisposableStack();
  #client: NexClient | undefined;

  constructor(url: string, login: Login = {}) {
    this.#url = url;
    this.#login = login;
  }

  /** As nats.js has them. */
  get #options(): object {
    const { user, password: pass, tls } = this.#login;
    return { servers: [this.#url], ...(user === undefined ? {} : { user, pass, tls }) };
  }

  async responder(kind: "bare" | "raw", name: string): Promise<Candidate> {
    const child = this.#child("responder.ts");
    await ask(child, { kind, options: this.#options }, "ready");
    return { name, subjects: [`bench.${kind}`], pids: [child.pid as number] };
  }

  async goResponder(): Promise<Candidate | undefined> {
    const built = await compileGo(join(import.meta.dirname, "functions/responder-go"), console.log);
    if (built === undefined) {
      console.log("nats.go, bare: not run, no Go builds it here");
      return undefined;
    }
    const child = spawn(built.path, [this.#url, "bench.go"], { stdio: ["ignore", "pipe", "inherit"] });
    this.#stack.defer(async () => {
      child.kill();
      await once(child, "exit");
    });
    await once(child.stdout, "data");
    return { name: "nats.go, bare", subjects: ["bench.go"], pids: [child.pid as number] };
  }

  async node(sandbox: "process" | "container"): Promise<{ node: ChildProcess; id: string }> {
    const node = this.#child("node.ts");
    const { id } = (await ask(node, { server: this.#url, sandbox, login: this.#login }, "ready")) as {
      id: string;
    };
    return { node, id };
  }

  /** Deploys a function and finds its agent. */
  async fn(node: ChildProcess, id: string, name: string, source: string | Uint8Array): Promise<Candidate> {
    this.#client ??= this.#stack.use(await connectNex({ servers: [this.#url], ...this.#login }));
    const client = this.#client;
    const subject = `bench.${name}`;
    await client.deploy({
      name,
      type: typeof source === "string" ? "v8" : "wasm",
      triggerSubjects: [subject],
      node: id,
      issuer: signerOfSeed(createKey("account").seed),
      publisher: curveKeyOfSeed(createKey("curve").seed),
      artifact: { bytes: Buffer.from(source) },
    });
    return { name, subjects: [subject], pids: [node.pid as number, await agentOf(client, subject)] };
  }

  async load(): Promise<ChildProcess> {
    const load = this.#child("load.ts");
    await ask(load, { connect: this.#options }, "ready");
    return load;
  }

  #child(script: string): ChildProcess {
    return startChild(`functions/${script}`, this.#stack);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function measure(load: ChildProcess, { pids }: Candidate, spec: LoadSpec): Promise<Sample> {
  let cpuUs = 0;
  // At the moments themselves: what comes next may come at once.
  const read = (answer: { measuring?: boolean }): void => {
    if (answer.measuring === true) cpuUs = -cpuOf(pids);
    else if (answer.measuring === false) cpuUs += cpuOf(pids);
  };
  load.on("message", read);
  const { result } = (await ask(load, { run: spec }, "result")) as { result: LoadResult };
  load.off("message", read);
  return { ...result, cpuUs };
}

/** The agent of a function: the one whose CPU time grows when the function works. */
async function agentOf(client: NexClient, subject: string): Promise<number> {
  const agents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && /agent\.mjs\0/.test(commandLineOf(name)))
    .map(Number);
  const start = new Map(agents.map((pid) => [pid, cpuOf([pid])]));
  const call = async (): Promise<void> => {
    for (let count = 0; count < 500; count++) await client.call(subject, "x");
  };
  await Promise.all(Array.from({ length: 16 }, call));
  const grown = ([pid, us]: [number, number]): number => cpuOf([pid]) - us;
  const [busiest] = [...start].sort((a, b) => grown(b) - grown(a));
  if (busiest === undefined) throw new Error("there is no agent");
  return busiest[0];
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1_024;
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
