import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createKey, decodeClaims, signEndorsement, signerOfSeed, tokenUse } from "@nexengine/protocol/tokens";
import { refusal, startBench, type TestBench } from "./testing/client.ts";
import type { Body, Script, ScriptedNode } from "./testing/scripted-node.ts";

const owner = signerOfSeed(createKey("operator").seed);
const nexus = "prod";

/** A node whose answers carry an endorsement, and what a test has in the place of it. */
function endorsed(change: (node: ScriptedNode) => Body = () => ({}), signer = owner): Script {
  const extras = (node: ScriptedNode): Body => ({
    ...node.extras,
    endorsement: signEndorsement({ nodeId: node.id, nexus }, signer, 600, Date.now()),
    nexus,
    ...change(node),
  });
  return {
    auction: (node) => ({ nexus, nex: extras(node) }),
    info: (node) => ({ nex: extras(node) }),
  };
}

const startTrusting = (): Promise<TestBench> => startBench({ client: { endorser: owner.publicKey } });

describe("a client with a nexus alone", () => {
  test("takes a node by its own word, and refuses one of another nexus or of none", async () => {
    await using bench = await startBench({ client: { nexus: "staging" } });
    const node = await bench.node(endorsed());
    const silent = await bench.node();
    for (const named of [{}, { node: node.id }, { node: silent.id }]) {
      const error = await refusal(bench.client.deploy(bench.functionOptions(named)));
      assert.equal(error.code, "endorsement_invalid");
    }
    const client = await bench.join({ nexus });
    assert.equal((await client.deploy(bench.functionOptions())).nodeId, node.id);
    assert.deepEqual(silent.deploys, []);
  });
});

describe("a client with an endorser's key", () => {
  test("deploys to an endorsed node that it is given, and takes no other node's bid", async () => {
    await using bench = await startTrusting();
    const stranger = await bench.node();
    const node = await bench.node(endorsed());
    for (let at = 0; at < 5; at++) await bench.client.deploy(bench.functionOptions());
    await bench.client.deploy(bench.functionOptions({ node: node.id }));
    assert.deepEqual([node.deploys.length, stranger.deploys.length], [6, 0]);
    const token = String(node.deploys[0]?.["workload_jwt"]);
    assert.equal(tokenUse(decodeClaims(token)), "deploy");
  });

  const lies: Record<string, Script> = {
    "without an endorsement": {},
    "of Go Nex": { extras: false },
    "endorsed by another key": endorsed(undefined, signerOfSeed(createKey("operator").seed)),
    "that shows another node's endorsement": endorsed(() => ({
      endorsement: signEndorsement({ nodeId: createKey("node").publicKey, nexus }, owner, 600, Date.now()),
    })),
    "endorsed for another nexus": endorsed((node) => ({
      endorsement: signEndorsement({ nodeId: node.id, nexus: "dev" }, owner, 600, Date.now()),
    })),
    "whose endorsement has expired": endorsed((node) => ({
      endorsement: signEndorsement({ nodeId: node.id, nexus }, owner, 600, Date.now() - 3_600_000),
    })),
  };
  for (const [what, script] of Object.entries(lies)) {
    test(`seals and sends nothing for a node ${what}, whether named or by its bid`, async () => {
      await using bench = await startTrusting();
      const node = await bench.node(script);
      for (const named of [{}, { node: node.id }]) {
        const error = await refusal(bench.client.deploy(bench.functionOptions(named)));
        assert.equal(error.code, "endorsement_invalid");
      }
      assert.deepEqual(node.deploys, []);
    });
  }

  test("is not talked into legacy tokens and plain environments by an answer that leaves features out", async () => {
    await using bench = await startTrusting();
    for (const missing of ["bound-claims", "sealed-request"]) {
      const script = endorsed((node) => ({
        features: (node.extras["features"] as string[]).filter((name) => name !== missing),
      }));
      const node = await bench.node(script);
      const error = await refusal(bench.client.deploy(bench.functionOptions({ node: node.id })));
      assert.equal(error.code, "feature_missing");
      assert.deepEqual(node.deploys, []);
    }
  });

  test("and a nexus refuses a node that the owner endorsed for another one", async () => {
    await using bench = await startBench({ client: { endorser: owner.publicKey, nexus: "staging" } });
    const node = await bench.node(endorsed());
    for (const named of [{}, { node: node.id }]) {
      const error = await refusal(bench.client.deploy(bench.functionOptions(named)));
      assert.equal(error.code, "endorsement_invalid");
      assert.match(error.message, /it is endorsed for nexus "prod", not for "staging"$/);
    }
    assert.deepEqual(node.deploys, []);
    const client = await bench.join({ endorser: owner.publicKey, nexus });
    assert.equal((await client.deploy(bench.functionOptions())).nodeId, node.id);
  });

  test("stops nothing with a legacy token", async () => {
    await using bench = await startTrusting();
    const node = await bench.node({ extras: false });
    const options = { nodeId: node.id, workloadId: "w", name: "echo", issuer: bench.issuer };
    assert.equal((await refusal(bench.client.stop(options))).code, "feature_missing");
    assert.deepEqual(node.stops, []);
  });

  test("can't be made with what is no such key", async () => {
    for (const endorser of ["", "me", createKey("curve").publicKey, createKey("operator").seed]) {
      const error = await refusal(startBench({ client: { endorser } }));
      assert.equal(error.code, "key_invalid");
    }
  });
});
