import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type CheckedWorkload, checkHealth, type Health, healthBounds } from "./health.ts";
import { parseDeployExtras } from "./workload.ts";

const service: CheckedWorkload = { isFunction: false, triggerSubjects: [], replicas: 1 };
const onSubject: Health = { type: "subject", subject: "shop.ping" };
const onPort: Health = { type: "tcp", port: 80 };

const parse = (health: unknown) => parseDeployExtras({ version: 1, health }).health;

describe("a health check in a deploy", () => {
  test("is taken with the numbers at their bounds", () => {
    for (const side of ["min", "max", "otherwise"] as const) {
      const numbers = Object.fromEntries(
        Object.entries(healthBounds).map(([name, bounds]) => [name, bounds[side]]),
      );
      for (const check of [onSubject, onPort]) {
        const whole: Record<string, unknown> = { ...check, ...numbers };
        assert.deepEqual(parse(whole), whole);
      }
    }
  });

  test("is refused with the name of the number that is out of bounds", () => {
    for (const [name, { min, max }] of Object.entries(healthBounds)) {
      for (const value of [min - 1, max + 1, min + 0.5, "1"]) {
        assert.throws(() => parse({ ...onPort, [name]: value }), {
          code: "health_invalid",
          message: new RegExp(`^Cannot accept the request: nex\\.health\\.${name}: `),
        });
      }
    }
    for (const port of [0, 65_536, undefined]) {
      assert.throws(() => parse({ type: "tcp", port }), {
        code: "health_invalid",
        message: /nex\.health\.port/,
      });
    }
    assert.throws(() => parse({ type: "subject", subject: "" }), { code: "health_invalid" });
  });

  test("of a kind or with a member that this version does not know is refused as a feature", () => {
    for (const health of [{ type: "http", url: "/" }, { ...onPort, retries: 1 }, "tcp:80", {}]) {
      assert.throws(() => parse(health), { code: "feature_missing" });
    }
  });
});

describe("checkHealth", () => {
  const refused: [what: string, health: Health, workload: Partial<CheckedWorkload>, message: RegExp][] = [
    ["a port of a function", onPort, { isFunction: true }, /port 80: a function has no ports/],
    ["a port without a network", onPort, { network: "none" }, /network "none"/],
    ["a wildcard", { type: "subject", subject: "shop.*" }, {}, /one can publish/],
    ["a subject with an empty token", { type: "subject", subject: "shop..ping" }, {}, /one can publish/],
    ["a subject of replicas", onSubject, { replicas: 3 }, /the 3 machines of a service/],
    [
      "a subject that calls nothing",
      onSubject,
      { isFunction: true, triggerSubjects: ["shop.buy", "shop.ping.*"] },
      /no trigger of the function takes it/,
    ],
  ];
  for (const [what, health, workload, message] of refused) {
    test(`refuses ${what}`, () => {
      assert.throws(() => checkHealth(health, { ...service, ...workload }), {
        code: "health_invalid",
        message,
      });
    });
  }

  test("takes a port of replicas, and a function's own subject, also by a wildcard", () => {
    checkHealth(onPort, { ...service, replicas: 3, network: "nats" });
    checkHealth(onSubject, service);
    checkHealth(onSubject, { isFunction: true, triggerSubjects: ["shop.buy", "shop.*"], replicas: 3 });
  });
});
