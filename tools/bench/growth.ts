/** How the cost of one more workload grows with those that run: deploys of a function among 1 to 1,000 others. */
import type { Uploaded } from "../../packages/client/src/mod.ts";
import { startTestNexus, type TestNexus } from "../../packages/testing/src/nexus.ts";
import { echoFunctionPath } from "../../packages/testing/src/samples.ts";
import { median, quantile, row, timeMs } from "./support.ts";

/** Numbers of running functions at which one more is measured. `NEX_BENCH_GROWTH` names others: `1,100`. */
const sizes = (process.env["NEX_BENCH_GROWTH"] ?? "1,100,400,1000").split(",").map(Number);
const deploys = 10;
const deploysAtOnce = 4;
const poolSize = 4;
const deploysOfBucket = 300;
const growthMsMax = 300_000;

/** Prints the row of each size, in the process driver. Ends early when the time is over. */
export async function benchGrowth(): Promise<void> {
  await using nexus = await startTestNexus({
    sandbox: "process",
    config: { machine_pool_size: poolSize },
  });
  // Each read of an object leaves a consumer on its bucket for minutes, and a stream takes about a thousand of them.
  const buckets = Math.ceil(Math.max(...sizes) / deploysOfBucket);
  const artifacts: Uploaded[] = [];
  for (let at = 0; at <= buckets; at++)
    artifacts.push(
      await nexus.client.upload({ path: echoFunctionPath }, { key: "growth", bucket: `G${at}` }),
    );
  const artifactAt = (deploy: number): Uploaded =>
    artifacts[Math.floor(deploy / deploysOfBucket)] as Uploaded;
  const deadline = performance.now() + growthMsMax;
  let running = 0;
  for (const size of sizes) {
    const before = running;
    const cpuBefore = process.cpuUsage();
    const grownMs = await timeMs(async () => {
      const worker = async (): Promise<void> => {
        while (running < size - 1 && performance.now() < deadline) {
          running++;
          await deployOne(nexus, artifactAt(running), `grown${running}`);
        }
      };
      await Promise.all(Array.from({ length: deploysAtOnce }, worker));
    });
    const cpu = process.cpuUsage(cpuBefore);
    if (performance.now() >= deadline) return row(`${size} functions`, `not run: over ${growthMsMax} ms`);
    const times: number[] = [];
    for (let deploy = 0; deploy < deploys; deploy++) {
      const { ms, deployment } = await timedDeploy(nexus, artifactAt(running));
      times.push(ms);
      await nexus.stop(deployment);
    }
    const grown = running - before;
    // CPU time of the node and its client, which are one process here; unlike the rate it hardly depends on what else
    // runs.
    const cpuMs = (cpu.user + cpu.system) / 1_000 / grown;
    const rate =
      grown > deploysAtOnce
        ? `; before: ${(grown / (grownMs / 1_000)).toFixed(0)} deploys/s, ${cpuMs.toFixed(1)} ms of CPU each`
        : "";
    row(
      `process: DEPLOY request → reply, function, the ${size}th (n=${deploys})`,
      `median ${median(times).toFixed(1)} ms, p95 ${quantile(times, 0.95).toFixed(1)}${rate} (aim: flat, 20 deploys/s)`,
    );
  }
}

type Deployment = Awaited<ReturnType<TestNexus["deploy"]>>;

function deployOne(nexus: TestNexus, { bucket, key, sha256 }: Uploaded, name: string): Promise<Deployment> {
  const options = { name, type: "v8", triggerSubjects: [`growth.${name}`], node: nexus.node.id } as const;
  return nexus.deploy({ bucket, key, sha256 }, options);
}

async function timedDeploy(
  nexus: TestNexus,
  uploaded: Uploaded,
): Promise<{ ms: number; deployment: Deployment }> {
  const sent = Promise.withResolvers<number>();
  const subscription = nexus.client.connection.subscribe("$NEX.DEPLOY.>", {
    callback: () => sent.resolve(performance.now()),
  });
  try {
    await nexus.client.flush();
    const deployment = await deployOne(nexus, uploaded, "one");
    return { ms: performance.now() - (await sent.promise), deployment };
  } finally {
    subscription.unsubscribe();
  }
}
