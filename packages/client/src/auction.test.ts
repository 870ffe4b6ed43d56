import assert from "node:assert/strict";
import { test } from "node:test";
import type { PingResponse } from "@nexengine/protocol/messages";
import { createKey } from "@nexengine/protocol/tokens";
import { bestOf, describeReasons } from "./auction.ts";

const proofs = { xkey_proof: "proof", features: ["bound-claims"] };

type Extras = NonNullable<PingResponse["nex"]>;

function bid(extras: Partial<Extras> | undefined, tags: Record<string, string> = {}): PingResponse {
  return {
    node_id: createKey("node").publicKey,
    target_xkey: "",
    version: "",
    uptime: "",
    running_machines: 0,
    tags,
    ...(extras === undefined ? {} : { nex: { version: 1, ...extras } }),
  };
}

test("bestOf takes a node with a ready machine before a sandboxed one, and that before an idle one", () => {
  const ready = bid({ ready_machines: 1, sandbox: "process", load: 0.9 });
  const sandboxed = bid({ ready_machines: 0, sandbox: "container", load: 0.9 });
  const idle = bid({ ready_machines: 0, sandbox: "process", load: 0 });
  assert.equal(bestOf([idle, sandboxed, ready]), ready);
  assert.equal(bestOf([idle, sandboxed]), sandboxed);
  assert.equal(bestOf([bid({ ready_machines: 0, sandbox: "process", load: 0.6 }), idle]), idle);
  assert.equal(bestOf([]), undefined);
});

test("bestOf leaves equals to chance, Go nodes by themselves too", () => {
  const ready = { ready_machines: 3, sandbox: "container", load: 0.55 } as const;
  for (const [first, second] of [
    [bid(undefined), bid(undefined)],
    [bid({ ...proofs, ...ready }), bid({ ...proofs, ...ready })],
  ] as const) {
    assert.equal(
      bestOf([first, second], () => 0),
      first,
    );
    assert.equal(
      bestOf([first, second], () => 0.99),
      second,
    );
  }
  const unsafe = bid(undefined, { "nex.unsafe": "true" });
  const original = bid(undefined);
  assert.equal(
    bestOf([unsafe, original], () => 0),
    original,
  );
});

test("bestOf takes a node with our proofs before any without, however well that one bids", () => {
  const ours = bid({ ...proofs, ready_machines: 0, sandbox: "process", load: 1 });
  const { xkey_proof, features } = proofs;
  for (const other of [
    bid(undefined),
    bid({ ready_machines: 9, sandbox: "firecracker", load: 0 }),
    bid({ xkey_proof, ready_machines: 9, sandbox: "firecracker", load: 0 }),
    bid({ features, ready_machines: 9, sandbox: "firecracker", load: 0 }),
  ]) {
    assert.equal(bestOf([other, ours]), ours);
    assert.equal(bestOf([ours, other]), ours);
  }
});

test("describeReasons counts nodes by what they say, the most told first", () => {
  const node = (...texts: string[]) => ({
    node_id: "",
    bids: false,
    reasons: texts.map((text) => ({ code: "x", text })),
  });
  const answers = [
    node("lacks the tag gpu=yes"),
    node("lacks the tag gpu=yes"),
    node("is in lame duck mode"),
  ];
  assert.equal(describeReasons(answers, 3), "2 lack the tag gpu=yes, 1 is in lame duck mode");
  assert.equal(describeReasons(answers.slice(2), 3), "1 is in lame duck mode, 2 do not say why");
  assert.equal(describeReasons([node("lacks a", "lacks a")], 1), "1 lacks a");
});
