/**
 * Benchmarks: `npm run bench`; of functions, of triggers, of HTTP (`http`), of machines, of microVMs alone, or of how a deploy grows with what runs
 * (`growth`, a part of `machines`) with `npm run bench -- machines` and the like. `npm run bench -- microvms --emulated-host` measures Firecracker in an emulated host, where KVM does not work.
 * Prints medians, and what can be compared as a ratio against a baseline of the same run, interleaved with it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { cleanUpOrphans } from "../packages/machines/src/host/orphans.ts";
import { defaultCacheDirectory } from "../packages/provision/src/mod.ts";
import { prepareMicroVms } from "../packages/testing/src/install.ts";
import { startTestNexus } from "../packages/testing/src/nexus.ts";
import { echoFunctionPath } from "../packages/testing/src/samples.ts";
import { benchFunctions } from "./bench/functions.ts";
import { benchGrowth } from "./bench/growth.ts";
import { benchHttp } from "./bench/http.ts";
import { benchMachines } from "./bench/machines.ts";
import { benchInEmulatedHost } from "./bench/microvms/emulated-host.ts";
import { benchMicroVms } from "./bench/microvms.ts";
import { median, quantile, row, timeMs } from "./bench/support.ts";
import { benchTriggers } from "./bench/triggers.ts";
import { build } from "./build.ts";

const deploys = 30;
const commands = 20;
const rounds = 7;
const serialCalls = 1_000;
const parallelCalls = 10_000;
const parallel = 128;

/** Microseconds for each of `count` calls, `concurrency` at once. */
async function callUs(
  connection: NatsConnection,
  subject: string,
  count: number,
  concurrency: number,
): Promise<number> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await connection.request(subject, "0123456789abcdef", { timeout: 10_000 });
  };
  return ((await timeMs(() => Promise.all(Array.from({ length: concurrency }, worker)))) * 1000) / count;
}

async function main(part: string | undefined, option: string | undefined): Promise<void> {
  const { nexPath } = await build();
  const bootDirectory = await prepareMicroVms(defaultCacheDirectory(), console.log);
  if (bootDirectory !== undefined) process.env["NEX_TEST_BOOT_DIRECTORY"] = bootDirectory;
  await inOwnDirectory(async () => {
    if (option === "--emulated-host") await benchInEmulatedHost();
    else if (part === "machines") await benchMachines();
    else if (part === "growth") await benchGrowth();
    else if (part === "microvms") await benchMicroVms();
    else if (part === "functions") await benchFunctions();
    else if (part === "triggers") await benchTriggers();
    else if (part === "http") await benchHttp();
    else await benchWhole(nexPath);
  });
}

/** Temporary files lie in a directory that goes with the run, and with it all that still runs in it. */
async function inOwnDirectory(work: () => Promise<void>): Promise<void> {
  const before = process.env["TMPDIR"];
  const directory = await mkdtemp(join(tmpdir(), "nex-bench-"));
  // The users of machines come through it to what they may read.
  await chmod(directory, 0o755);
  process.env["TMPDIR"] = directory;
  const end = async (): Promise<void> => {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
    await cleanUpOrphans(directory);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void end().finally(() => process.exit(1)));
  try {
    await work();
  } finally {
    await end();
  }
}

/** A node, its command line and its functions. */
async function benchWhole(nexPath: string): Promise<void> {
  await using nexus = await startTestNexus({ config: { machine_pool_size: 2 } });
  const home = await mkdtemp(join(tmpdir(), "nex-bench-"));
  try {
    await benchDeploy(nexus);
    await benchCommand(nexPath, home, nexus.server.url);
    await benchCalls(nexus);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

type Nexus = Awaited<ReturnType<typeof startTestNexus>>;

async function benchDeploy(nexus: Nexus): Promise<void> {
  const { bucket, key, sha256 } = await nexus.client.upload({ path: echoFunctionPath }, { key: "bench" });
  const times: number[] = [];
  for (let deploy = 0; deploy < deploys; deploy++) {
    const options = {
      name: "bench",
      type: "v8",
      triggerSubjects: ["bench.deploy"],
      node: nexus.node.id,
    } as const;
    const { promise, resolve } = Promise.withResolvers<number>();
    const subscription = nexus.client.connection.subscribe("$NEX.DEPLOY.>", {
      callback: () => resolve(performance.now()),
    });
    const deployment = await nexus.deploy({ bucket, key, sha256 }, options);
    times.push(performance.now() - (await promise));
    subscription.unsubscribe();
    await nexus.stop(deployment);
  }
  row(
    `DEPLOY request → reply, function, warm pool (n=${deploys})`,
    `median ${median(times).toFixed(1)} ms, p95 ${quantile(times, 0.95).toFixed(1)} ms`,
  );
}

async function benchCommand(nexPath: string, home: string, url: string): Promise<void> {
  const times: number[] = [];
  for (let command = 0; command < commands; command++) {
    times.push(
      await timeMs(async () => {
        const env = { ...process.env, HOME: home, NATS_URL: url };
        const child = spawn(process.execPath, [nexPath, "devrun", echoFunctionPath], {
          env,
          stdio: "ignore",
        });
        await once(child, "exit");
      }),
    );
  }
  row(
    `nex devrun echo.js, whole command (n=${commands})`,
    `median ${median(times).toFixed(0)} ms, p95 ${quantile(times, 0.95).toFixed(0)} ms`,
  );
}

async function benchCalls(nexus: Nexus): Promise<void> {
  const servers = nexus.server.url;
  const responder = await connect({ servers });
  responder.subscribe("bench.bare", { callback: (_, message) => void message.respond(message.data) });
  await responder.flush();
  await nexus.function("export default (s, p) => p", { name: "bench-keep" });
  await nexus.function("(s, p) => p", { name: "bench-fresh" });
  const connection = await connect({ servers });
  for (const [what, count, concurrency] of [
    ["c=1", serialCalls, 1],
    [`c=${parallel}`, parallelCalls, parallel],
  ] as const) {
    const us: Record<string, number[]> = { "bench.bare": [], "bench-keep": [], "bench-fresh": [] };
    for (let round = 0; round < rounds; round++) {
      for (const subject of Object.keys(us))
        us[subject]?.push(await callUs(connection, subject, count, concurrency));
    }
    const bare = median(us["bench.bare"] ?? []);
    for (const mode of ["keep", "fresh"]) {
      const ours = median(us[`bench-${mode}`] ?? []);
      row(
        `function (${mode}), ${what}, against a bare responder`,
        `${(ours / bare).toFixed(2)}× the time (${ours.toFixed(0)} against ${bare.toFixed(0)} µs)`,
      );
    }
  }
  await responder.close();
  await connection.close();
}

await main(process.argv[2], process.argv[3]);
