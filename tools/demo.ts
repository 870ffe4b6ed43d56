/**
 * The main job on real input: `npm run demo`. Starts a nats-server with JetStream and a node, deploys a function and a
 * service, calls both, shows logs and events as they come, tries a stop by a stranger and one by the issuer, ends
 * everything, and counts what is left.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connectNex, type NexClient } from "../packages/client/src/mod.ts";
import {
  defaultCacheDirectory,
  fetchNatsServer,
  findNatsServer,
  startNatsServer,
} from "../packages/provision/src/mod.ts";
import { installContainerTools } from "../packages/testing/src/install.ts";
import { echoService } from "../packages/testing/src/samples.ts";
import { build } from "./build.ts";
import { orphans } from "./test/orphans.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const stepTimeoutMs = 30_000;
const pollMs = 25;
const endWaitMs = 3_000;

const dim = (text: string): string => (process.stdout.isTTY ? `\x1b[2m${text}\x1b[22m` : text);
const bold = (text: string): string => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[22m` : text);
const say = (text: string): void => console.log(text);
const step = (text: string): void => say(`\n${bold(`▸ ${text}`)}`);

interface Ended {
  status: number | null;
  output: string;
}

/** Runs the command line in the demo's own home. */
class Nex {
  readonly #path: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(path: string, env: NodeJS.ProcessEnv) {
    this.#path = path;
    this.#env = env;
  }

  /** One command, shown with what it prints. */
  async run(...args: string[]): Promise<Ended> {
    say(`$ nex ${args.join(" ")}`);
    const ended = await this.#spawn(args, (line) => say(`  ${line}`)).ended;
    if (ended.status !== 0) say(`  ${dim(`(exit status ${ended.status})`)}`);
    return ended;
  }

  /** One command in the background, each of its lines shown with a label. */
  watch(label: string, ...args: string[]): { stop(): Promise<Ended>; shows(text: string): Promise<void> } {
    const running = this.#spawn(args, (line) => say(dim(`  ${label} │ ${line}`)));
    return {
      shows: (text) => until(() => running.output().includes(text), `${label} shows "${text}"`),
      stop: () => {
        running.child.kill("SIGINT");
        return running.ended;
      },
    };
  }

  #spawn(args: string[], show: (line: string) => void) {
    const child = spawn(process.execPath, [this.#path, ...args], {
      cwd: root,
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      let partial = "";
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
        const lines = (partial + chunk).split("\n");
        partial = lines.pop() ?? "";
        lines.forEach(show);
      });
      stream.on("end", () => {
        if (partial !== "") show(partial);
      });
    }
    const { promise: ended, resolve } = Promise.withResolvers<Ended>();
    child.on("close", (status) => resolve({ status, output }));
    return { child, ended, output: () => output };
  }
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + stepTimeoutMs; !(await condition()); await delay(pollMs)) {
    check(Date.now() < deadline, `${what} within ${stepTimeoutMs} ms`);
  }
}

/** The demo shows what is true, or fails. */
function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`The demo did not see that ${what}`);
}

async function natsServer() {
  const cacheDirectory = defaultCacheDirectory();
  const report = (line: string): void => say(dim(line));
  return (await findNatsServer({ cacheDirectory })) ?? (await fetchNatsServer({ cacheDirectory }, report));
}

async function show(nex: Nex, strangerNex: Nex, client: NexClient, url: string): Promise<void> {
  step("A JavaScript function, deployed by auction, its environment sealed");
  const deployed = await nex.run("devrun", "examples/echo/echo.js", "GREETING=hello");
  check(deployed.status === 0, "the function runs");
  const reply = await nex.run("request", "default.echo", "hello, function");
  check(reply.output.trim() === "hello, function", "the function echoes");

  step("A native service, a static executable");
  const service = await echoService(say);
  const names = ["echo"];
  if (service === undefined) {
    say(
      "!! No compiler here builds a static executable, and none can be installed: the service is left out !!",
    );
  } else {
    say(dim(`  built with ${service.compiler}: ${service.path}`));
    const run = await nex.run("devrun", service.path, `NATS_URL=${url}`, "--name", "echo-service");
    check(run.status === 0, "the service runs");
    await until(() => answers(client, "echo.service"), "the service answers");
    const echoed = await nex.run("request", "echo.service", "hello, service");
    check(echoed.output.trim() === "hello, service", "the service echoes");
    names.push("echo-service");
  }
  await nex.run("ps");

  step("Only the issuer that started a workload can stop it");
  const refused = await strangerNex.run("stop", "echo");
  check(refused.status === 5, "a stranger's stop is refused");
  for (const name of names) check((await nex.run("stop", name)).status === 0, `${name} stops`);
}

async function answers(client: NexClient, subject: string): Promise<boolean> {
  try {
    await client.call(subject, "are you there?", { timeoutMs: 1_000 });
    return true;
  } catch {
    return false;
  }
}

async function demo(directory: string, run: string): Promise<void> {
  const startedAt = performance.now();
  const { nexPath } = await build();
  // From here on: what the build started is not the demo's.
  process.env["NEX_DEMO_RUN"] = run;
  const binary = await natsServer();
  const env = { ...process.env, HOME: join(directory, "home"), TMPDIR: directory, NEX_DEMO_RUN: run };
  await mkdir(env.HOME);
  await mkdir(join(directory, "stranger"));

  step("A NATS server with JetStream");
  await using server = await startNatsServer({ binary, storeDirectory: join(directory, "store") });
  say(`  nats-server ${binary.version} at ${server.url}`);
  const nexEnv = { ...env, NATS_URL: server.url };
  const nex = new Nex(nexPath, nexEnv);

  step("A node");
  await installContainerTools(say);
  const sandbox = (await nex.run("preflight")).status === 0 ? "auto" : "process";
  const node = nex.watch("node", "node", "up", "--sandbox", sandbox);
  await node.shows("node runs");
  const logs = nex.watch("logs", "logs");
  const events = nex.watch("event", "events");
  await Promise.all([logs.shows("Ctrl-C ends"), events.shows("Ctrl-C ends")]);
  {
    await using client = await connectNex({ servers: [server.url] });
    await show(nex, new Nex(nexPath, { ...nexEnv, HOME: join(directory, "stranger") }), client, server.url);
  }
  await events.shows("workload_undeployed");

  step("The end");
  const ended = await node.stop();
  check(ended.status === 0, "the node ends as asked");
  await events.shows("node_stopped");
  await Promise.all([logs.stop(), events.stop()]);
  say(`  took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}

const run = randomBytes(4).toString("hex");
const directory = join(tmpdir(), `nex-demo-${run}`);
await mkdir(directory, { mode: 0o700 });
try {
  await demo(directory, run);
  const left = await orphans({ environment: `NEX_DEMO_RUN=${run}`, directory }, endWaitMs);
  for (const name of ["home", "stranger", "store"])
    await rm(join(directory, name), { recursive: true, force: true });
  const files = await readdir(directory);
  step(`Left behind: ${left.length} processes, ${files.length} files`);
  for (const { pid, command } of left) say(`  process ${pid}: ${command}`);
  for (const file of files) say(`  ${file}`);
  process.exitCode = left.length + files.length === 0 ? 0 : 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
