import assert from "node:assert/strict";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { actMs } from "@nexengine/testing/internal";
import { makeFifos } from "../host/fifo.ts";
import { holdsWithin } from "../host/wait.ts";
import { jailNames } from "./layout.ts";
import { Metrics } from "./metrics.ts";

const ownUserId = process.getuid?.() ?? 0;

suite("Metrics", { skip: process.platform !== "linux" }, () => {
  test("sum Firecracker's counters, and skip invalid lines", async () => {
    const root = await mkdtemp(join(tmpdir(), "nex-metrics-"));
    await makeFifos([join(root, jailNames.metrics)], 0o600);
    const metrics = await Metrics.handOver(root, ownUserId);
    try {
      assert.equal(metrics.faults(), "");
      await using writer = await open(join(root, jailNames.metrics), "r+");
      const line = (faults: object): string => `${JSON.stringify({ utc_timestamp_ms: 1, ...faults })}\n`;
      await writer.write(line({ seccomp: { num_faults: 0 }, vcpu: { failures: 0 } }));
      await writer.write('{"vcpu":\n null\n 7\n{"vcpu":"x","seccomp":{"num_faults":"x"}}\n');
      for (let part = 0; part < 5; part++) await writer.write("x".repeat(20_000));
      await writer.write("\n");
      const last = line({ seccomp: { num_faults: 2 }, vcpu: { failures: 1 }, other: { failures: 9 } });
      await writer.write(last.slice(0, 20));
      await writer.write(last.slice(20));
      await writer.write(line({ vcpu: { failures: 1 } }));
      const told = "[firecracker: seccomp.num_faults 2, vcpu.failures 2]\n";
      assert.ok(await holdsWithin(() => metrics.faults() === told, actMs, 5), metrics.faults());
    } finally {
      metrics.close();
      await rm(root, { recursive: true, force: true });
    }
  });
});
