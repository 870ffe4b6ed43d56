import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { NexError } from "../errors.ts";
import { parseSchedule } from "./schedule.ts";

/** Times that the parser of nats-server 2.14.0 gives, with changes of the clock among them. */
const recorded = JSON.parse(
  readFileSync(join(import.meta.dirname, "../fixtures/schedules.json"), "utf8"),
) as { fields: string; zone?: string; after: string; next: string[] }[];

test("parseSchedule plans the times that nats-server plans, also where the clock changes", () => {
  for (const { fields, zone, after, next } of recorded) {
    const schedule = parseSchedule(fields, zone);
    let at = Date.parse(after);
    for (const expected of next) {
      at = schedule.next(at);
      assert.equal(
        at,
        Date.parse(expected),
        `${fields} in ${zone} after ${after}: ${new Date(at).toISOString()}`,
      );
    }
  }
});

test("parseSchedule turns every form into six fields", () => {
  const forms = {
    "5 4 * * mon": "0 5 4 * * mon",
    "1 2 3 4 5 6": "1 2 3 4 5 6",
    "  0   0 1  * ? ": "0 0 0 1 * ?",
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@monthly": "0 0 0 1 * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "every 5m": "0 */5 * * * *",
    "@every 30s": "*/30 * * * * *",
    "every 1s": "* * * * * *",
    "every 60s": "0 * * * * *",
    "every 2h": "0 0 */2 * * *",
    "every 1h0m": "0 0 * * * *",
    "every 24h": "0 0 0 * * *",
  };
  for (const [text, fields] of Object.entries(forms)) assert.equal(parseSchedule(text).fields, fields);
});

test("parseSchedule refuses what nats-server refuses, and says what is allowed", () => {
  const refusals: [text: string, zone: string | undefined, why: RegExp][] = [
    ["", undefined, /it has 0 fields, but five or six are needed/],
    ["* * * *", undefined, /it has 4 fields/],
    ["* * * * * * *", undefined, /it has 7 fields/],
    ["60 * * * *", undefined, /the minute "60" is not 0-59/],
    ["* 24 * * *", undefined, /the hour "24" is not 0-23/],
    ["* * 0 * *", undefined, /the day of month "0" is not 1-31/],
    ["* * * 13 *", undefined, /the month "13" is not 1-12 or jan-dec/],
    ["* * * * 7", undefined, /the day of week "7" is not 0-6 or sun-sat.*Sunday is 0/],
    ["* * * * 5-7", undefined, /Sunday is 0/],
    ["* * * * fri-mon", undefined, /the day of week "fri-mon"/],
    ["* * L * *", undefined, /the day of month "L"/],
    ["* * * * 1#2", undefined, /the day of week "1#2"/],
    ["*/0 * * * *", undefined, /the minute "\*\/0"/],
    ["*-5 * * * *", undefined, /the minute "\*-5"/],
    ["1,,2 * * * *", undefined, /the minute "1,,2"/],
    ["1-2-3 * * * *", undefined, /the minute "1-2-3"/],
    ["@often", undefined, /the nicknames are @hourly, @daily/],
    ["CRON_TZ=UTC 0 0 * * *", undefined, /names no time zone/],
    ["0 0 30 2 *", undefined, /no date matches/],
    ["every 7m", undefined, /the nearest are 6m and 10m/],
    ["every 90m", undefined, /the nearest are 1h and 2h/],
    ["every 48h", undefined, /the nearest is 24h/],
    ["every 0s", undefined, /the nearest is 1s/],
    ["every 500ms", undefined, /such as 30s, 5m or 2h/],
    ["every 1d", undefined, /such as 30s, 5m or 2h/],
    ["@daily", "+02:00", /the zone "\+02:00" is not a name/],
    ["@daily", "Nowhere/Land", /the zone "Nowhere\/Land" is not known/],
    ["@daily", "Europe/berlin", /is spelled Europe\/Berlin/],
    ["@daily", "Local", /is not known/],
  ];
  for (const [text, zone, why] of refusals) {
    assert.throws(
      () => parseSchedule(text, zone),
      (error) => error instanceof NexError && error.code === "trigger_invalid" && why.test(error.message),
      `${text} ${zone}`,
    );
  }
});

test("parseSchedule gives the latest planned time, also years back", () => {
  const { latest } = parseSchedule("0 0 29 2 *");
  assert.equal(latest(Date.UTC(2027, 5, 1)), Date.UTC(2024, 1, 29));
  assert.equal(latest(Date.UTC(2103, 11, 31)), Date.UTC(2096, 1, 29));
  const daily = parseSchedule("30 2 * * *", "Europe/Berlin");
  assert.equal(daily.latest(Date.UTC(2026, 9, 25, 1, 45)), Date.UTC(2026, 9, 25, 1, 30));
  assert.equal(daily.latest(Date.UTC(2026, 2, 29, 12)), Date.UTC(2026, 2, 28, 1, 30));
});

const field = (min: number, max: number) =>
  fc.oneof(
    fc.constantFrom("*", "?"),
    fc.integer({ min, max }).map(String),
    fc.integer({ min: 1, max: 20 }).map((step) => `*/${step}`),
    fc
      .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
      .map(([one, other]) => `${Math.min(one, other)}-${Math.max(one, other)}`),
  );
const fields = fc
  .tuple(field(0, 59), field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
  .map((parts) => parts.join(" "));
const zones = fc.constantFrom(
  undefined,
  "Europe/Berlin",
  "America/New_York",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
);
const moments = fc.integer({ min: Date.UTC(2020, 0), max: Date.UTC(2035, 0) });

test("next is later than its moment, and latest finds it again", () => {
  fc.assert(
    fc.property(fields, zones, moments, (text, zone, afterMs) => {
      const { next, latest } = parseSchedule(text, zone);
      const at = next(afterMs);
      assert.ok(at > afterMs);
      assert.equal(at % 1000, 0);
      assert.equal(latest(at), at);
      assert.ok(latest(at - 1) < at);
      const before = latest(afterMs);
      assert.ok(before <= afterMs);
      assert.equal(next(before), at);
    }),
    { numRuns: 300 },
  );
});

test("parseSchedule takes no text for a schedule without fields, and throws nothing but refusals", () => {
  const texts = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ unit: fc.constantFrom(..."0159*/-,?# LWmonjan@every"), maxLength: 30 }),
  );
  fc.assert(
    fc.property(texts, (text) => {
      try {
        assert.equal(parseSchedule(text).fields.split(" ").length, 6);
      } catch (error) {
        assert.ok(error instanceof NexError && error.code === "trigger_invalid", String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});
