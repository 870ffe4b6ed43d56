import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "@nexengine/protocol/errors";
import { decodeClaims } from "@nexengine/protocol/tokens";
import { refusal, startBench } from "./testing/client.ts";
import type { Body } from "./testing/scripted-node.ts";

const workloadId = "dc2f2m1ksdudki293gng";
const sameSecond =
  "Invalid stop request: stop claims appear to be cloned or captured from the original start claims. Rejecting for security reasons";

const claimsOf = (body: Body | undefined) => decodeClaims(String(body?.["workload_jwt"]));

test("stop sends a node that knows it a token bound to workload, node and namespace", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const { issuer } = bench;
  for (const _ of "ab") await bench.client.stop({ nodeId: node.id, workloadId, name: "echo", issuer });
  const [first, second] = node.stops.map(claimsOf);
  assert.deepEqual(first?.nats, {
    nex: { version: 1, use: "stop", workload_id: workloadId, node: node.id, namespace: "default" },
    version: 2,
  });
  assert.deepEqual([first.sub, first.iss, first.exp], ["echo", issuer.publicKey, (first.iat ?? 0) + 60]);
  assert.notEqual(first.jti, second?.jti);
});

test("stop sends a Go node a token that names the workload and carries no hash", async () => {
  await using bench = await startBench({ client: { allowGoNodes: true } });
  const node = await bench.node({ extras: false });
  const { issuer } = bench;
  const stopped = await bench.client.stop({ nodeId: node.id, workloadId, name: "echo", issuer });
  assert.deepEqual(stopped, { stopped: true, id: workloadId, issuer: issuer.publicKey, name: "echo" });
  assert.equal(node.stops.length, 1);
  const { workload_jwt: _, ...rest } = node.stops[0] ?? {};
  assert.deepEqual(rest, { workload_id: workloadId, target_node: node.id });
  const { iss, sub, nats, exp, iat = 0 } = claimsOf(node.stops[0]);
  assert.deepEqual(
    { iss, sub, nats, exp },
    { iss: issuer.publicKey, sub: "echo", nats: { version: 2 }, exp: iat + 600 },
  );
});

test("stop in the second of the deploy is asked for again in another one, as Go nodes need it", async () => {
  await using bench = await startBench({ client: { allowGoNodes: true } });
  const node = await bench.node({
    extras: false,
    // As a Go node: a stop in the second of the deploy is taken for a copy of its token.
    stop: (self, request) => {
      const deployed = claimsOf(self.deploys[0]).iat;
      return claimsOf(request).iat === deployed
        ? new NexError("token_invalid", sameSecond)
        : { id: workloadId };
    },
  });
  const { issuer, client } = bench;
  // Deploys until one falls into the same second as its stop, which all but few do.
  for (;;) {
    node.deploys.length = 0;
    node.stops.length = 0;
    const { id, nodeId, name } = await client.deploy(bench.functionOptions({ node: node.id }));
    const stopped = await client.stop({ nodeId, workloadId: id, name, issuer });
    assert.equal(stopped.stopped, true);
    if (node.stops.length === 2) break;
  }
  const [first, second] = node.stops.map((stop) => claimsOf(stop).iat ?? 0);
  assert.ok((second ?? 0) > (first ?? 0));
});

test("stop is asked for twice at most, and other refusals are thrown at once", async () => {
  await using bench = await startBench({ client: { allowGoNodes: true } });
  const { issuer, client } = bench;
  for (const [text, count] of [
    [sameSecond, 2],
    ["No such workload", 1],
  ] as const) {
    const node = await bench.node({ extras: false, stop: () => new NexError("no_such_workload", text) });
    const error = await refusal(client.stop({ nodeId: node.id, workloadId, name: "echo", issuer }));
    assert.equal(error.message, text);
    assert.equal(node.stops.length, count);
  }
});

test("stop of a node that keeps silent says how long it was waited for", async () => {
  await using bench = await startBench();
  const { id: nodeId } = await bench.node({ stop: () => "silence" });
  const options = { nodeId, workloadId, name: "echo", issuer: bench.issuer, timeoutMs: 60 };
  const error = await refusal(bench.client.stop(options));
  assert.equal(error.code, "node_silent");
  assert.match(error.message, /^Cannot stop "echo": node N\w+ did not answer within 60 ms$/);
});
