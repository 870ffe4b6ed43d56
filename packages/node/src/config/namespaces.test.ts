import assert from "node:assert/strict";
import { test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { completeConfig, type NodeConfigInput } from "./config.ts";
import { type NamespaceRules, rulesOf } from "./namespaces.ts";

const ofNode = createKey("account").publicKey;
const ofAcme = createKey("account").publicKey;

function rules(config: NodeConfigInput, namespace: string | undefined): NamespaceRules {
  return rulesOf(completeConfig(config), namespace);
}

test("rulesOf takes every namespace where none is listed, and else those that are, as they are written", () => {
  assert.ok(rules({}, "acme").isListed);
  const named = { namespaces: { acme: {} } };
  assert.deepEqual(
    ["acme", "ACME", "other", "constructor", "__proto__", undefined].map(
      (name) => rules(named, name).isListed,
    ),
    [true, false, false, false, false, true],
  );
  assert.ok(rules({ namespaces: { acme: {}, "*": {} } }, "other").isListed);
});

test("rulesOf has a namespace's issuers instead of the node's, which count where it lists none", () => {
  const config = { valid_issuers: [ofNode], namespaces: { acme: { valid_issuers: [ofAcme] }, "*": {} } };
  assert.deepEqual(rules(config, "acme").validIssuers, [ofAcme]);
  assert.deepEqual(rules(config, "other").validIssuers, [ofNode]);
  assert.deepEqual(rules({ ...config, namespaces: { acme: { valid_issuers: [] } } }, "acme").validIssuers, [
    ofNode,
  ]);
});

test("rulesOf has a namespace's deny list beside the node's", () => {
  const config = { deny_trigger_subjects: ["a"], namespaces: { acme: { deny_trigger_subjects: ["b"] } } };
  assert.deepEqual(rules(config, "acme").denyTriggerSubjects, ["a", "b"]);
});

test("rulesOf counts and sizes a namespace within the node", () => {
  const config: NodeConfigInput = {
    node_limits: { max_workloads: 9, max_workload_bytes: 100 },
    limits: { default: { vcpus: 1 }, max: { vcpus: 2, memory_bytes: 2 ** 30 } },
    namespaces: {
      acme: {
        node_limits: { max_workloads: 1, max_workload_bytes: 500, max_total_bytes: 1_000 },
        limits: { default: { vcpus: 0.5 }, max: { vcpus: 4 } },
      },
      small: { node_limits: { max_workload_bytes: 10 } },
    },
  };
  const { workloadCountMax, totalBytesMax, workloadBytesMax, limits } = rules(config, "acme");
  assert.deepEqual([workloadCountMax, totalBytesMax, workloadBytesMax], [1, 1_000, 100]);
  assert.deepEqual(limits, { default: { vcpus: 0.5 }, max: { vcpus: 4, memory_bytes: 2 ** 30 } });
  assert.equal(rules(config, "small").workloadBytesMax, 10);
  assert.equal(rules({}, "small").workloadBytesMax, Number.POSITIVE_INFINITY);
});
