import assert from "node:assert/strict";
import { test } from "node:test";
import { CallCounters, Histogram } from "./counters.ts";

test("quantiles of a histogram are right to an eighth, over the whole range", () => {
  for (const scale of [1, 17, 1_000, 123_456, 50_000_000]) {
    const histogram = new Histogram();
    for (let value = 1; value <= 1_000; value++) histogram.add(value * scale);
    for (const part of [0.01, 0.5, 0.99, 1]) {
      const exact = Math.ceil(1_000 * part) * scale;
      const got = histogram.quantile(part);
      if (exact > 0x7fff_ffff) continue;
      assert.ok(got >= exact && got <= exact * 1.125 + 1, `${part} of ${scale}: ${got} for ${exact}`);
    }
  }
});

test("a histogram takes nothing, zero and what is beyond its range", () => {
  const histogram = new Histogram();
  assert.equal(histogram.quantile(0.5), 0);
  histogram.add(0);
  assert.equal(histogram.quantile(1), 0);
  histogram.add(1e15);
  assert.ok(histogram.quantile(1) >= 0x7000_0000);
});

test("counters show calls, failures by code, starts and times", () => {
  const counters = new CallCounters();
  counters.started();
  for (let call = 0; call < 99; call++) counters.succeeded(2_000, 500);
  counters.succeeded(1_000_000, -3);
  counters.failed(408, 5e9);
  counters.failed(500, 0);
  counters.failed(500, 0);
  const shown = counters.show();
  assert.deepEqual(
    { ...shown, run_ns: 0, queue_ns: 0 },
    {
      calls: 103,
      failures: { "408": 1, "500": 2 },
      cold_starts: 1,
      run_ns: 0,
      queue_ns: 0,
    },
  );
  assert.ok(shown.run_ns.p50 >= 2_000 && shown.run_ns.p50 <= 2_300, `${shown.run_ns.p50}`);
  assert.equal(counters.runNs, 99 * 2_000 + 1_000_000 + 5e9);
});
