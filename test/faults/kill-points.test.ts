/**
 * A node is killed at each change that it makes in its state directory, just before and just after it. The next node
 * must have what was answered, and no half of anything. `npm run test:faults` takes all moments, `npm test` some.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { probeService, startTestNatsServer, unmetSandboxRequirement } from "@nexengine/testing";
import { pick, seededRandom } from "../support/random.ts";
import { Victim } from "../support/victim.ts";
import { checkNextNode } from "./kill-points/checks.ts";
import { type KillPoint, killPointPreload } from "./kill-points/settings.ts";
import { Story } from "./kill-points/story.ts";
import { Leftovers } from "./leftovers.ts";

const isLong = process.env["NEX_TEST_FAULTS"] === "long";
const seed = Number(process.env["NEX_TEST_SEED"] ?? 1);
const sampleSize = 4;
const progressStep = 25;
/** Nodes that live at once, each with a server of its own. */
const livesMax = isLong ? 3 : 2;
type Sandbox = "process" | "container";
const probe = await probeService();

/** One life of a node, killed at a point or not at all. @returns the changes that it has made */
async function live(sandbox: Sandbox, server: string, kill?: KillPoint): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "nex-points-"));
  const log = join(folder, "log");
  try {
    await using victim = new Victim({ server, sandbox, nodeLostTimeoutMs: 600_000 });
    const { directory } = victim;
    victim.preload = killPointPreload({ directory, log, ...(kill === undefined ? {} : { kill }) });
    const leftovers = new Leftovers(victim);
    const story = new Story(victim, server, probe?.path);
    await story.run();
    leftovers.note();
    const changes = readFileSync(log, "utf8").split("\n").slice(0, -1);
    try {
      if (kill !== undefined) {
        // Also one that has made fewer changes this time, and would die at a later one.
        victim.preload = undefined;
        await victim.end("SIGKILL");
        await victim.start();
      }
      await checkNextNode(victim, server, story.asked, leftovers);
    } catch (cause) {
      const what = `killed ${JSON.stringify(kill)}, after ${JSON.stringify(story.asked)}`;
      throw new assert.AssertionError({
        message: `${what}: ${cause instanceof Error ? cause.message : cause}`,
      });
    }
    return changes;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The moments before and after each change. */
function killPoints(changes: readonly string[]): KillPoint[] {
  const counts = new Map<string, number>();
  return changes.flatMap((change) => {
    const occurrence = (counts.get(change) ?? 0) + 1;
    counts.set(change, occurrence);
    return (["before", "after"] as const).map((moment) => ({ change, occurrence, moment }));
  });
}

/** Whether the last deploy is recorded at this moment, and the one that it replaces still is. */
function isReplacing({ change, occurrence, moment }: KillPoint): boolean {
  return (
    change === "rename deploys/ID.json.new" &&
    occurrence === (probe === undefined ? 3 : 4) &&
    moment === "after"
  );
}

/** One life after the other, on a server of their own, until none is waiting. @returns what was found wrong */
async function liveAlone(sandbox: Sandbox, waiting: KillPoint[]): Promise<string[]> {
  await using server = await startTestNatsServer();
  const wrong: string[] = [];
  for (let kill = waiting.shift(); kill !== undefined; kill = waiting.shift()) {
    await live(sandbox, server.url, kill).catch((error: Error) => {
      // A long run tells at once what it finds.
      console.error(error.message);
      wrong.push(error.message);
    });
    if (isLong && waiting.length % progressStep === 0) console.log(`${waiting.length} moments are left`);
  }
  return wrong;
}

/** The changes of a life that ends well. */
async function changesOf(sandbox: Sandbox): Promise<string[]> {
  await using server = await startTestNatsServer();
  return await live(sandbox, server.url);
}

for (const sandbox of ["process", "container"] as const) {
  const unmet = await unmetSandboxRequirement(sandbox);
  describe(
    `a node that dies at a change of its state (${sandbox})`,
    unmet === undefined ? {} : { skip: unmet },
    () => {
      test(`is followed by one with all that was answered (seed ${seed})`, {
        timeout: isLong ? 3_000_000 : 120_000,
      }, async (context) => {
        const changes = await changesOf(sandbox);
        const all = killPoints(changes);
        const next = seededRandom(seed);
        const sample = [
          ...Array.from({ length: sampleSize }, () => pick(next, all)),
          ...all.filter(isReplacing),
        ];
        const waiting = isLong ? [...all] : [...sample];
        const lives = Array.from({ length: livesMax }, () => liveAlone(sandbox, waiting));
        assert.deepEqual((await Promise.all(lives)).flat(), []);
        context.diagnostic(
          `${isLong ? all.length : sample.length} of ${all.length} moments of ${changes.length} changes`,
        );
      });
    },
  );
}
