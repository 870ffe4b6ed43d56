/** The end of a service is told at once, by an event and not by a timer, also when it leaves processes behind. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  commandLineOf,
  logsOf,
  probeService,
  startTestNexus,
  unmetSandboxRequirement,
  until,
} from "@nexengine/testing";

/** Time that an agent waits for output of a service that has ended, while something holds it open. */
const outputAfterExitMs = 250;
const noService = (await probeService()) === undefined ? "no C compiler builds the service" : undefined;

function pidsOf(words: readonly string[]): number[] {
  const end = `\0${words.join("\0")}\0`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && commandLineOf(name).endsWith(end))
    .map(Number);
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

for (const sandbox of ["process", "container"] as const) {
  const unmet = noService ?? (await unmetSandboxRequirement(sandbox));
  describe(`a service that is killed (${sandbox})`, unmet === undefined ? {} : { skip: unmet }, () => {
    test("and leaves a child that holds its output is told at once", async () => {
      await using nexus = await startTestNexus({ sandbox });
      const words = ["out", `left-${process.pid}-${sandbox}`, "child", "wait"];
      const restart = { policy: "always", max_restarts: 1_000, backoff_ms: 1 } as const;
      await nexus.probe(words, { restart });
      // A busy host makes one attempt slow, but a wait for the timer makes all of them slow.
      for (let tookMs = outputAfterExitMs; tookMs >= outputAfterExitMs; ) {
        await until(() => pidsOf(words).length === 2);
        const before = pidsOf(words);
        await using feed = nexus.client.events();
        await nexus.client.flush();
        const beganMs = performance.now();
        const service = before.find((pid) => !before.includes(parentOf(pid)));
        assert.ok(service !== undefined);
        process.kill(service, "SIGKILL");
        for await (const { type } of feed) if (type === "workload_restarting") break;
        tookMs = performance.now() - beganMs;
        await until(() => !pidsOf(words).some((pid) => before.includes(pid)));
      }
    });

    test("has its last output in the log all the same", async () => {
      await using nexus = await startTestNexus({ sandbox });
      const lines = await logsOf(nexus, 500, () => nexus.probe(["child", "lines", "500", "exit", "3"]));
      assert.equal(lines.at(-1), "INFO line 499");
    });
  });
}
