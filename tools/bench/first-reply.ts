/** Deploys of an echo function until it first replies, from a pool whose machines are ready, in any kind of machine. */
import { Objm } from "@nats-io/obj";
import type { Uploaded } from "../../packages/client/src/mod.ts";
import type { TestNexus } from "../../packages/testing/src/nexus.ts";
import { echoFunctionPath } from "../../packages/testing/src/samples.ts";
import { eventually, median, quantile, row, timeMs } from "./support.ts";

/** Pool size of the nexus that this is measured in. */
export const poolSize = 3;

const subject = "bench.first";

/** How often both are done. */
export interface DeployCounts {
  deploys: number;
  deploysInARow: number;
}

/** Both rows about a pool of `poolSize`. @param name Begins each row. */
export async function benchDeploys(name: string, nexus: TestNexus, counts: DeployCounts): Promise<void> {
  const uploaded = await nexus.client.upload({ path: echoFunctionPath }, { key: "bench" });
  await benchFirstReply(name, nexus, uploaded, counts.deploys);
  await benchInARow(name, nexus, uploaded, counts.deploysInARow);
}

/** A deploy of what is in the object store already, until its first reply, beyond the read of the object alone. */
async function benchFirstReply(
  name: string,
  nexus: TestNexus,
  uploaded: Uploaded,
  deploys: number,
): Promise<void> {
  const times: number[] = [];
  const reads: number[] = [];
  for (let deploy = 0; deploy < deploys; deploy++) {
    await poolFull(nexus);
    reads.push(await timeMs(() => readObject(nexus, uploaded)));
    times.push(await firstReplyMs(nexus, uploaded));
  }
  const beyond = median(times) - median(reads);
  row(
    `${name}: DEPLOY request → first reply, function, warm pool (n=${deploys})`,
    `median ${median(times).toFixed(1)} ms, p95 ${quantile(times, 0.95).toFixed(1)}; ${beyond.toFixed(1)} ms beyond the read of ${median(reads).toFixed(1)} (aim: 10)`,
  );
}

/** The next deploy comes as soon as the one before it has been stopped, whatever the pool has then. */
async function benchInARow(
  name: string,
  nexus: TestNexus,
  uploaded: Uploaded,
  deploys: number,
): Promise<void> {
  await poolFull(nexus);
  const times: number[] = [];
  let fromReady = 0;
  let lastFailure: unknown;
  for (let deploy = 0; deploy < deploys; deploy++) {
    const { nex } = await nexus.client.info(nexus.node.id);
    if ((nex?.ready_machines ?? 0) > 0) fromReady++;
    try {
      times.push(await firstReplyMs(nexus, uploaded));
    } catch (error) {
      lastFailure = error;
    }
  }
  const failures = deploys - times.length;
  const why = failures === 0 ? "" : `, the last one: ${String(lastFailure)}`;
  row(
    `${name}: a pool of ${poolSize} serving deploys in a row, each until its first reply (n=${deploys})`,
    `${fromReady} from a ready machine; median ${median(times).toFixed(1)} ms, p95 ${quantile(times, 0.95).toFixed(1)}; ${failures} failed${why}`,
  );
}

/** From the moment at which the request is on its way, so without the auction before it. */
async function firstReplyMs(nexus: TestNexus, { bucket, key, sha256 }: Uploaded): Promise<number> {
  const { client, node } = nexus;
  const sent = Promise.withResolvers<number>();
  const subscription = client.connection.subscribe("$NEX.DEPLOY.>", {
    callback: () => sent.resolve(performance.now()),
  });
  try {
    await client.flush();
    const options = { name: "first", type: "v8", triggerSubjects: [subject], node: node.id } as const;
    const deployment = await nexus.deploy({ bucket, key, sha256 }, options);
    try {
      await client.call(subject, "x");
      return performance.now() - (await sent.promise);
    } finally {
      await nexus.stop(deployment);
    }
  } finally {
    subscription.unsubscribe();
  }
}

async function poolFull({ client }: TestNexus): Promise<void> {
  await eventually(async () => (await client.nodes({ timeoutMs: 200 }))[0]?.nex?.ready_machines === poolSize);
}

async function readObject({ client }: TestNexus, { bucket, key }: Uploaded): Promise<void> {
  const store = await new Objm(client.connection).open(bucket);
  await store.getBlob(key);
}
