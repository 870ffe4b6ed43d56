import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeResponse } from "@nexengine/protocol/messages";
import { auctionSubject } from "@nexengine/protocol/subjects";
import {
  createKey,
  curveKeyOfSeed,
  encodeClaims,
  signerOfSeed,
  signXkeyProof,
  xkeyProofLifeSeconds,
} from "@nexengine/protocol/tokens";
import type { Fallback } from "./session.ts";
import { refusal, startBench, type TestBench } from "./testing/client.ts";
import type { Body, ScriptedNode } from "./testing/scripted-node.ts";

const otherNode = signerOfSeed(createKey("node").seed);
const otherXkey = curveKeyOfSeed(createKey("curve").seed).publicKey;
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

/** Nothing was sealed or sent: neither a DEPLOY nor an artifact. */
async function assertNothingSent(bench: TestBench, node: ScriptedNode): Promise<void> {
  assert.deepEqual(node.deploys, []);
  await assert.rejects(
    bench.client.deploy(
      bench.functionOptions({
        artifact: { bucket: "NEXCLIFILES", key: "default/echo" },
        node: (await bench.node()).id,
      }),
    ),
    {
      code: "artifact_not_found",
    },
  );
}

test("a deploy into an empty nexus says that there is no node", async () => {
  await using bench = await startBench();
  const error = await refusal(bench.client.deploy(bench.functionOptions()));
  assert.equal(error.code, "no_node");
  assert.equal(error.message, 'Cannot deploy "echo": there is no node in this nexus');
  assert.match(error.advice ?? "", /nex node up/);
});

test("a deploy that no node bids for says what was asked for, and how many nodes there are", async () => {
  await using bench = await startBench();
  const node = await bench.node({ auction: () => "silence" });
  const one = await refusal(bench.client.deploy(bench.functionOptions({ tags: { room: "b" } })));
  assert.equal(one.code, "no_node");
  assert.equal(
    one.message,
    'No node accepts "echo": asked for type v8, tag room=b, the one node there is does not',
  );
  const asked = { tags: { room: "b" }, workload_types: ["v8"], nex: { artifact_bytes: 11 } };
  assert.partialDeepStrictEqual(node.auctions, [asked]);
  await bench.node({ auction: () => "silence" });
  const two = await refusal(bench.client.deploy(bench.functionOptions()));
  assert.match(two.message, /none of the 2 nodes does$/);
});

test("a deploy goes to a node that bids", async () => {
  await using bench = await startBench();
  const [deaf, node] = [await bench.node({ auction: () => "silence" }), await bench.node()];
  const deployment = await bench.client.deploy(bench.functionOptions());
  assert.equal(deployment.nodeId, node.id);
  assert.equal(deployment.nodeName, "scripted");
  assert.deepEqual(deaf.deploys, []);
});

test("a node that was named needs no auction", async () => {
  await using bench = await startBench();
  const node = await bench.node({ auction: () => "silence" });
  const deployment = await bench.client.deploy(bench.functionOptions({ node: node.id }));
  assert.equal(deployment.nodeId, node.id);
  assert.deepEqual(node.auctions, []);
});

test("a bid that names no node's id is passed over", async () => {
  await using bench = await startBench();
  for (const node_id of ["*", ">", "a.b", "", createKey("account").publicKey])
    await bench.node({ auction: () => ({ node_id }) });
  const error = await refusal(bench.client.deploy(bench.functionOptions()));
  assert.equal(error.code, "no_node");
});

test("a bid in the name of another node does not get what is sealed", async () => {
  await using bench = await startBench();
  const honest = await bench.node({ auction: () => "silence" });
  const liar = await bench.node({
    auction: (self) => ({ node_id: honest.id, target_xkey: self.xkey.publicKey }),
  });
  const error = await refusal(bench.client.deploy(bench.functionOptions({ environment: { SECRET: "s" } })));
  assert.equal(error.code, "xkey_proof_invalid");
  assert.match(error.message, /its bid and its info name two$/);
  assert.deepEqual([honest.deploys, liar.deploys], [[], []]);
  await assertNothingSent(bench, liar);
});

/** The proof that a node shows, in the place of its own. */
const lies: Record<string, (node: ScriptedNode) => Body> = {
  "no proof": () => ({ xkey_proof: undefined }),
  "an empty proof": () => ({ xkey_proof: "" }),
  "what is no token": () => ({ xkey_proof: "a.b.c" }),
  "another node's proof": () => ({ xkey_proof: signXkeyProof(otherNode, otherXkey, Date.now()) }),
  "a proof of its xkey by another node": (node) => ({
    xkey_proof: signXkeyProof(otherNode, node.xkey.publicKey, Date.now()),
  }),
  "a proof of another xkey": (node) => ({ xkey_proof: signXkeyProof(node.signer, otherXkey, Date.now()) }),
  "a proof that has expired": (node) => ({
    xkey_proof: signXkeyProof(node.signer, node.xkey.publicKey, Date.now() - 2 * xkeyProofLifeSeconds * 1000),
  }),
  "a token for something else": (node) => ({
    xkey_proof: encodeClaims(
      {
        subject: node.id,
        issuedAt: nowSeconds(),
        expires: nowSeconds() + 60,
        data: { nex: { version: 1, use: "endorsement", xkey: node.xkey.publicKey } },
      },
      node.signer,
    ),
  }),
};

for (const [what, lie] of Object.entries(lies)) {
  test(`a node that shows ${what} gets nothing, whether named or by its bid`, async () => {
    await using bench = await startBench();
    const extras = (node: ScriptedNode): Body => ({ nex: { ...node.extras, ...lie(node) } });
    const inInfo = await bench.node({ info: extras });
    assert.equal(
      (await refusal(bench.client.deploy(bench.functionOptions({ node: inInfo.id })))).code,
      "xkey_proof_invalid",
    );
    assert.equal((await refusal(bench.client.deploy(bench.functionOptions()))).code, "xkey_proof_invalid");
    assert.deepEqual(inInfo.deploys, []);
  });

  test(`a bid with ${what} is refused, although its INFO is that of a Go node`, async () => {
    await using bench = await startBench();
    const node = await bench.node({
      extras: false,
      auction: (self) => ({ nex: { ...self.extras, ...lie(self) } }),
    });
    const error = await refusal(bench.client.deploy(bench.functionOptions()));
    assert.equal(error.code, "xkey_proof_invalid");
    assert.deepEqual(node.deploys, []);
  });
}

test("a node that shows nothing of ours is refused unless Go nodes are allowed, and nothing is sent", async () => {
  await using bench = await startBench();
  const node = await bench.node({ extras: false });
  for (const named of [{}, { node: node.id }]) {
    const error = await refusal(bench.client.deploy(bench.functionOptions(named)));
    assert.equal(error.code, "feature_missing");
    assert.match(
      error.message,
      /^Cannot deploy "echo": the node shows neither bound tokens nor a proof of its xkey/,
    );
    assert.match(error.advice ?? "", /--allow-go-nodes/);
  }
  const stop = { nodeId: node.id, workloadId: "w", name: "echo", issuer: bench.issuer };
  assert.match((await refusal(bench.client.stop(stop))).advice ?? "", /--allow-go-nodes/);
  assert.deepEqual(node.stops, []);
  await assertNothingSent(bench, node);
});

test("a bid of ours wins over one that shows nothing of ours", async () => {
  await using bench = await startBench();
  await bench.node({ extras: false });
  const node = await bench.node();
  for (let at = 0; at < 6; at++)
    assert.equal((await bench.client.deploy(bench.functionOptions())).nodeId, node.id);
});

test("a Go node, which has no proof, gets what a Go client would send", async () => {
  await using bench = await startBench({ client: { allowGoNodes: true } });
  const node = await bench.node({ extras: false });
  const deployment = await bench.client.deploy(bench.functionOptions());
  assert.equal(deployment.nodeId, node.id);
  assert.equal(node.deploys[0]?.["nex"], undefined);
});

test("where Go nodes are allowed, ours wins all the same, and what goes to a Go node is told before it is sent", async () => {
  const told: Fallback[] = [];
  const sentBefore: number[] = [];
  let node: ScriptedNode | undefined;
  const onFallback = (fallback: Fallback): void => {
    told.push(fallback);
    sentBefore.push((node?.deploys.length ?? 0) + (node?.stops.length ?? 0));
  };
  await using bench = await startBench({ client: { allowGoNodes: true, onFallback } });
  node = await bench.node({ extras: false });
  const { id: workloadId } = await bench.client.deploy(bench.functionOptions());
  const nodeId = node.id;
  await bench.client.stop({ nodeId, workloadId, name: "echo", issuer: bench.issuer });
  assert.deepEqual(told, [
    { action: "deploy", name: "echo", nodeId },
    { action: "stop", name: "echo", nodeId },
  ]);
  assert.deepEqual(sentBefore, [0, 1]);
  const ours = await bench.node({
    auction: (self) => ({ nex: { ...self.extras, ready_machines: 0, load: 1 } }),
  });
  for (let at = 0; at < 6; at++)
    assert.equal((await bench.client.deploy(bench.functionOptions())).nodeId, ours.id);
  await bench.client.stop({ nodeId: ours.id, workloadId, name: "echo", issuer: bench.issuer });
  assert.equal(told.length, 2);
});

test("a node that lacks what the deploy relies on gets nothing", async () => {
  await using bench = await startBench();
  const nodes = [
    await bench.node({ extras: false }),
    await bench.node({ info: (self) => ({ nex: { ...self.extras, features: ["concurrency"] } }) }),
  ];
  for (const node of nodes) {
    const options = bench.functionOptions({ node: node.id, globals: "keep" });
    const error = await refusal(bench.client.deploy(options));
    assert.equal(error.code, "feature_missing");
    assert.equal(error.message, 'Cannot deploy "echo": it needs "globals", the node does not know it');
    await assertNothingSent(bench, node);
  }
});

test("an auction passes over bids of nodes that lack what the deploy relies on", async () => {
  await using bench = await startBench();
  const old = [await bench.node({ extras: false }), await bench.node({ extras: false })];
  const none = await refusal(bench.client.deploy(bench.functionOptions({ concurrency: 4 })));
  assert.equal(none.code, "feature_missing");
  assert.match(none.message, /it needs "concurrency", none of the 2 nodes that bid does know it$/);
  const able = await bench.node();
  // By chance alone, the able one of three would not be met six times in a row.
  for (let at = 0; at < 6; at++) {
    const deployment = await bench.client.deploy(bench.functionOptions({ concurrency: 4 }));
    assert.equal(deployment.nodeId, able.id);
  }
  for (const node of old) assert.deepEqual(node.deploys, []);
});

test("bids are chosen from by chance, not by which came first", async () => {
  await using bench = await startBench();
  const nodes = [
    await bench.node({ auction: () => "silence" }),
    await bench.node({ auction: () => "silence" }),
  ];
  const bidder = await bench.connection();
  bidder.subscribe(auctionSubject, {
    callback: (_, message) => {
      for (const { id, xkey, extras } of nodes) {
        message.respond(encodeResponse("auction", { node_id: id, target_xkey: xkey.publicKey, nex: extras }));
      }
    },
  });
  await bidder.flush();
  const ids = new Set(nodes.map(({ id }) => id));
  // Within 60 deploys both are met, but for one run in 2^59.
  for (let at = 0; at < 60 && ids.size > 0; at++) {
    ids.delete((await bench.client.deploy(bench.functionOptions())).nodeId);
  }
  assert.equal(ids.size, 0);
});
