/** Ending a node: everybody may ask it to take no more workloads, an operator makes it finish and end. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createKey, signerOfSeed } from "@nexengine/protocol";
import { encodeClaims, signDeployToken, signLameDuckToken } from "@nexengine/protocol/tokens";
import { eventOf, probeService, startTestNexus, type TestNexus } from "@nexengine/testing";
import { refusedCode, send } from "./support/captured.ts";

const key = signerOfSeed(createKey("operator").seed);
const config = { operators: [key.publicKey] };
/** A function whose calls take their time. */
const sleeper = (ms: number): string =>
  `module.exports = () => new Promise((resolve) => setTimeout(resolve, ${ms}, "done"));`;

const stateOf = async (nexus: TestNexus): Promise<string | undefined> =>
  (await nexus.client.info(nexus.node.id)).nex?.state;

describe("an operator (B20)", () => {
  test("ends a node: calls that it has are answered, no more are taken, and it ends when they are", async () => {
    await using nexus = await startTestNexus({ config });
    await nexus.function(sleeper(1_500), { name: "slow" });
    await nexus.function("() => 1", { name: "quick" });
    const calls = [nexus.call("slow"), nexus.call("slow")];
    await nexus.client.flush();
    const undeployed = await eventOf(nexus, "workload_undeployed", () =>
      nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 60_000 } }),
    );
    assert.equal(undeployed["workload_name"], "quick");
    assert.equal(await stateOf(nexus), "lameduck");
    await assert.rejects(nexus.call("quick"), { code: "node_not_found" });
    await assert.rejects(nexus.function("() => 1", { node: nexus.node.id }), { code: "lame_duck" });
    await assert.rejects(nexus.function("() => 1"), { code: "no_node" });
    assert.deepEqual(await Promise.all(calls), ['"done"', '"done"']);
    await nexus.node.ended;
  });

  test("gives what goes on so long: at the deadline it is stopped", async () => {
    await using nexus = await startTestNexus({ config });
    await nexus.function(sleeper(4_000), { name: "slow" });
    const call = nexus.call("slow");
    call.catch(() => undefined);
    await nexus.client.flush();
    const began = performance.now();
    await nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 60_000 } });
    // The soonest of several deadlines counts.
    await nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 200 } });
    await nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 50_000 } });
    await nexus.node.ended;
    const tookMs = performance.now() - began;
    assert.ok(tookMs >= 200 && tookMs < 3_500, String(tookMs));
    await assert.rejects(call, { code: "function_stopped" });
  });

  test("asks services to stop once functions are done, long before the deadline", async (context) => {
    if ((await probeService()) === undefined) return context.skip("no C compiler builds the service");
    await using nexus = await startTestNexus({ config });
    await nexus.function(sleeper(1_000), { name: "slow" });
    await nexus.probe(["polite", "out", "ready", "wait"], { name: "service" });
    const ends: unknown[] = [];
    await using feed = nexus.client.events();
    const call = nexus.call("slow");
    await nexus.client.flush();
    await nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 3_600_000 } });
    for await (const { type, event } of feed) {
      if (type !== "workload_undeployed") continue;
      ends.push([event.data?.["workload_name"], event.data?.["code"], event.data?.["reason"]]);
      if (ends.length === 2) break;
    }
    assert.deepEqual(ends, [
      ["slow", 0, "Node is in lame duck mode"],
      ["service", 7, "Node is in lame duck mode"],
    ]);
    assert.equal(await call, '"done"');
    await nexus.node.ended;
  });

  test("asks services to stop at the deadline, when functions are not done", async (context) => {
    if ((await probeService()) === undefined) return context.skip("no C compiler builds the service");
    await using nexus = await startTestNexus({ config });
    await nexus.function(sleeper(60_000), { name: "slow", limits: { callTimeMs: 60_000 } });
    await nexus.probe(["polite", "wait"], { name: "service" });
    const call = nexus.call("slow");
    call.catch(() => undefined);
    await using feed = nexus.client.events();
    await nexus.client.flush();
    await nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 300 } });
    for await (const { type, event } of feed) {
      if (type !== "workload_undeployed" || event.data?.["workload_name"] !== "service") continue;
      assert.deepEqual([event.data["code"], event.data["reason"]], [7, "Node is stopping"]);
      break;
    }
    await nexus.node.ended;
  });

  test("ends a node that the reference's form has put into lame duck mode, and one without workloads", async () => {
    await using nexus = await startTestNexus({ config });
    await nexus.client.lameDuck(nexus.node.id);
    assert.equal(await stateOf(nexus), "lameduck");
    const answer = await nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 3_600_000 } });
    assert.deepEqual(answer, { node_id: nexus.node.id, success: true });
    await nexus.node.ended;
  });
});

describe("whoever is no operator (S5)", () => {
  let nexus: TestNexus;
  before(async () => {
    nexus = await startTestNexus({ config: { ...config, lameduck_requires_operator: true } });
    await nexus.function("() => 1", { name: "stays" });
  });
  after(() => nexus[Symbol.asyncDispose]());

  const subject = (): string => `$NEX.LAMEDUCK.${nexus.node.id}`;
  const withToken = (token: string): object => ({ nex: { version: 1, token } });

  /** Tokens by what is wrong with them. */
  const forged: Record<string, (node: string) => [token: string, code: string]> = {
    "another key": (node) => [
      signLameDuckToken({ node, deadlineMs: 0 }, signerOfSeed(createKey("operator").seed), Date.now()),
      "operator_required",
    ],
    "another node": () => [
      signLameDuckToken({ node: createKey("node").publicKey, deadlineMs: 0 }, key, Date.now()),
      "token_for_another",
    ],
    "an hour ago": (node) => [
      signLameDuckToken({ node, deadlineMs: 0 }, key, Date.now() - 3_600_000),
      "token_invalid",
    ],
    "a deadline of two hours": (node) => [
      signLameDuckToken({ node, deadlineMs: 7_200_000 }, key, Date.now()),
      "token_invalid",
    ],
    "a negative deadline": (node) => [
      signLameDuckToken({ node, deadlineMs: -1 }, key, Date.now()),
      "token_invalid",
    ],
    "a deploy": (node) => [
      signDeployToken({ name: node, sha256: "0".repeat(64), request: "" }, key, Date.now()),
      "token_wrong_use",
    ],
    "nothing in particular": (node) => [
      encodeClaims({ subject: node, issuedAt: Math.floor(Date.now() / 1000) }, key),
      "token_unbound",
    ],
    "no signature": () => ["a.b.c", "token_invalid"],
  };
  for (const [what, make] of Object.entries(forged)) {
    test(`changes nothing with a token of ${what}`, async () => {
      const [token, code] = make(nexus.node.id);
      const { error, nex } = await send(nexus, subject(), withToken(token));
      assert.equal(nex?.code, code);
      assert.match(error ?? "", /^Failed to enter lame duck mode: /);
      assert.equal(await stateOf(nexus), "running");
      assert.equal(await nexus.call("stays"), "1");
    });
  }

  test("changes nothing without a token, or with what is none, where a node demands one", async () => {
    for (const body of ["", "null", "{}", "[1", '{"nex":null}']) {
      assert.equal((await send(nexus, subject(), body)).nex?.code, "operator_required", body);
    }
    for (const nex of [{ version: 1 }, { version: 2, token: "" }, { version: 1, token: "", more: 1 }, "x"]) {
      const { error, nex: refusal } = await send(nexus, subject(), { nex });
      assert.equal(refusal?.code, "malformed_request");
      assert.match(error ?? "", /^Failed to enter lame duck mode: /);
    }
    assert.equal(await stateOf(nexus), "running");
  });

  test("changes nothing with an operator's token that was used, and the refusal is told", async () => {
    await using other = await startTestNexus({ config });
    await other.function(sleeper(2_000), { name: "slow" });
    const call = other.call("slow");
    call.catch(() => undefined);
    await other.client.flush();
    const token = signLameDuckToken({ node: other.node.id, deadlineMs: 60_000 }, key, Date.now());
    const to = `$NEX.LAMEDUCK.${other.node.id}`;
    assert.equal((await send(other, to, withToken(token))).error, undefined);
    const told = await eventOf(other, "lameduck_refused", async () => {
      assert.equal(
        await refusedCode(other, { subject: to, body: { ...withToken(token) } }),
        "token_already_used",
      );
    });
    assert.equal(told["code"], "token_already_used");
  });

  test("nor does a body without a token put off the additions that are not understood", async () => {
    await using open = await startTestNexus();
    const to = `$NEX.LAMEDUCK.${open.node.id}`;
    const later = { nex: { version: 1, token: "", more: true } };
    assert.equal((await send(open, to, later)).nex?.code, "malformed_request");
    assert.equal(await stateOf(open), "running");
    assert.equal((await send(open, to, "anything")).error, undefined);
    assert.equal(await stateOf(open), "lameduck");
    let ended = false;
    void open.node.ended.then(() => {
      ended = true;
    });
    // The reference's form ends nothing, also when nothing runs.
    assert.equal((await open.client.nodes()).length, 1);
    assert.equal(ended, false);
  });
});
