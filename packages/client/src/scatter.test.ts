import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "@nexengine/protocol/errors";
import { encodeResponse } from "@nexengine/protocol/messages";
import { pingSubject } from "@nexengine/protocol/subjects";
import { refusal, startBench } from "./testing/client.ts";

/** Longer than a test may run: who waits it out fails. */
const forever = { timeoutMs: 600_000 };
const patient = { timeoutMs: 600_000, stallMs: 1_000 };

test("nodes gives every node once, by the first of its answers", async () => {
  await using bench = await startBench();
  const [first, second] = [await bench.node(), await bench.node()];
  const twice = await bench.connection();
  twice.subscribe(pingSubject, {
    callback: (_, message) => {
      const data = { node_id: "NTWICE", target_xkey: "X", nexus: "first" };
      message.respond(encodeResponse("ping", data));
      message.respond(encodeResponse("ping", { ...data, nexus: "second" }));
    },
  });
  await twice.flush();
  const nodes = await bench.client.nodes(patient);
  assert.deepEqual(nodes.map(({ node_id }) => node_id).sort(), [first.id, second.id, "NTWICE"].sort());
  assert.equal(nodes.find(({ node_id }) => node_id === "NTWICE")?.nexus, "first");
});

test("nodes passes over answers that can't be read, and refusals", async () => {
  await using bench = await startBench();
  const honest = await bench.node();
  await bench.node({ ping: () => Buffer.from("{") });
  await bench.node({ ping: () => new Uint8Array() });
  await bench.node({ ping: () => Buffer.from("null") });
  await bench.node({ ping: () => Buffer.from('{"type":"t","data":[]}') });
  await bench.node({ ping: () => ({ node_id: 5 }) });
  await bench.node({ ping: () => ({ tags: "none" }) });
  await bench.node({ ping: () => new NexError("internal", "Failed to query running machines on node") });
  const nodes = await bench.client.nodes(patient);
  assert.deepEqual(
    nodes.map(({ node_id }) => node_id),
    [honest.id],
  );
});

test("nodes ends at once with an empty list where nobody listens", async () => {
  await using bench = await startBench();
  assert.deepEqual(await bench.client.nodes(forever), []);
});

test("nodes ends at its time limit where nobody answers", async () => {
  await using bench = await startBench();
  await bench.node({ ping: () => "silence" });
  const began = performance.now();
  assert.deepEqual(await bench.client.nodes({ timeoutMs: 200, stallMs: 1 }), []);
  assert.ok(performance.now() - began >= 190, "a stall counts only after the first answer");
});

test("nodes ends when no further answer comes, long before its time limit", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  await bench.node({ ping: () => "silence" });
  assert.equal((await bench.client.nodes(forever))[0]?.node_id, node.id);
  assert.equal((await bench.client.nodes({ timeoutMs: 600_000, stallMs: 1 })).length, 1);
});

test("each answer begins the stall anew", async () => {
  await using bench = await startBench();
  const chain = await bench.connection();
  const count = 4;
  chain.subscribe(pingSubject, {
    callback: (_, message) => {
      const answer = (at: number): void => {
        message.respond(encodeResponse("ping", { node_id: `N${at}`, target_xkey: "X" }));
        if (at + 1 < count) setTimeout(() => answer(at + 1), 700);
      };
      answer(0);
    },
  });
  await chain.flush();
  assert.equal((await bench.client.nodes({ timeoutMs: 600_000, stallMs: 2_000 })).length, count);
});

test("an answer after the end disturbs nothing", async () => {
  await using bench = await startBench();
  const late = await bench.connection();
  const replies: string[] = [];
  late.subscribe(pingSubject, { callback: (_, { reply = "" }) => void replies.push(reply) });
  await late.flush();
  assert.deepEqual(await bench.client.nodes({ timeoutMs: 100 }), []);
  late.publish(replies[0] ?? "", encodeResponse("ping", { node_id: "NLATE", target_xkey: "X" }));
  await late.flush();
  assert.deepEqual(await bench.client.nodes({ timeoutMs: 100 }), []);
  assert.equal(replies.length, 2);
});

test("auction sends what is asked for, and gives the bids", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const deaf = await bench.node({ auction: () => "silence" });
  const request = { arch: "arm64", tags: { room: "a b" }, workload_types: ["v8"] };
  const bids = await bench.client.auction(request, patient);
  assert.deepEqual(
    bids.map(({ node_id }) => node_id),
    [node.id],
  );
  assert.deepEqual(deaf.auctions, [request]);
});

const twoUsers = `
  authorization {
    users: [
      { user: all, password: a }
      { user: mute, password: m, permissions: { publish: { deny: ["${pingSubject}"] } } }
      { user: deaf, password: d, permissions: { subscribe: { deny: ["_INBOX.>"] } } }
    ]
  }`;

test("nodes says that the server does not permit it, and does not wait", async () => {
  await using bench = await startBench({ config: twoUsers, client: { user: "all", password: "a" } });
  for (const login of [
    { user: "mute", password: "m" },
    { user: "deaf", password: "d" },
  ]) {
    const client = await bench.join(login);
    const error = await refusal(client.nodes(forever));
    assert.equal(error.code, "connection_failed", login.user);
    assert.match(error.message, /^Cannot ask the nodes: the NATS server does not permit it/);
  }
});

test("answers come in below the login's inbox prefix", async () => {
  await using bench = await startBench({ config: twoUsers, client: { user: "all", password: "a" } });
  const seen: string[] = [];
  const observer = await bench.join({ user: "all", password: "a" });
  observer.connection.subscribe(pingSubject, {
    callback: (_, message) => {
      seen.push(message.reply ?? "");
      message.respond(encodeResponse("ping", { node_id: "N1", target_xkey: "X" }));
    },
  });
  await observer.flush();
  const client = await bench.join({ user: "deaf", password: "d", inboxPrefix: "_MINE" });
  assert.equal((await client.nodes(forever)).length, 1);
  assert.match(seen[0] ?? "", /^_MINE\./);
});

test("nodes throws where the connection is closed", async () => {
  await using bench = await startBench();
  await bench.client.close();
  assert.equal((await refusal(bench.client.nodes())).code, "connection_failed");
});
