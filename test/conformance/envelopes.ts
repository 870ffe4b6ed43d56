/** §1.1 Envelope. */
import assert from "node:assert/strict";
import {
  auctionSubject,
  deploySubject,
  infoSubject,
  pingNodeSubject,
  pingSubject,
  stopSubject,
  workloadPingSubject,
} from "@nexengine/protocol/subjects";
import { ask, askQuietly, type Envelope } from "../support/ask.ts";
import { deployBody, freshName, runFunction, sendDeploy, sendStop, uploadSource } from "./requests.ts";
import type { Row } from "./suite.ts";
import type { Target } from "./target.ts";

function assertSuccess(answer: Envelope | undefined, kind: string): void {
  assert.equal(answer?.type, `io.nats.nex.v1.${kind}_response`);
  assert.equal(answer?.error, undefined);
  assert.ok(typeof answer?.data === "object" && answer.data !== null);
}

function assertFailure(answer: Envelope, kind: string): void {
  assert.equal(answer.type, `io.nats.nex.v1.${kind}_response`);
  assert.equal(answer.data, "");
  assert.ok(typeof answer.error === "string" && answer.error !== "");
}

export function envelopeRows(row: Row): void {
  row("1.1", "PING succeeds as ping_response, with data and without error", async (target) => {
    assertSuccess(await ask(target, pingNodeSubject(target.nodeId)), "ping");
  });
  row("1.1", "AUCTION succeeds as auction_response", async (target) => {
    assertSuccess(await askQuietly(target, auctionSubject), "auction");
  });
  row("1.1", "INFO succeeds as info_response", async (target) => {
    assertSuccess(await ask(target, infoSubject(target.namespace, target.nodeId)), "info");
  });
  row(
    "1.1",
    "WPING succeeds as ping_response, DEPLOY as run_response, STOP as stop_response",
    async (target) => {
      const name = freshName();
      const location = await uploadSource(target, "(s, p) => 1");
      const run = await sendDeploy(target, deployBody(target, { name, type: "v8", location }));
      assertSuccess(run, "run");
      assertSuccess(await askQuietly(target, workloadPingSubject(target.namespace, name)), "ping");
      const { id } = run.data as { id: string };
      assertSuccess(await sendStop(target, { id, name }), "stop");
    },
    { type: "v8", ours: "the stop needs another second than the deploy" },
  );
  row("1.1", 'a failing DEPLOY is a run_response with data "" and error as text', async (target) => {
    assertFailure(await sendDeploy(target, "{"), "run");
  });
  row("1.1", 'a failing STOP is a stop_response with data "" and error as text', async (target) => {
    assertFailure(await sendStop(target, { id: "none", name: "none" }), "stop");
  });
  row(
    "1.1",
    "a failure says a code for programs under nex",
    async (target) => {
      assert.equal((await sendDeploy(target, "{")).nex?.code, "malformed_request");
      assert.equal((await sendStop(target, { id: "none", name: "none" })).nex?.code, "no_such_workload");
    },
    { ours: "it has the text alone" },
  );

  row("1.1", "no answer has headers or a status", async (target) => {
    const { connection, nodeId, namespace } = target;
    for (const [subject, body] of [
      [pingNodeSubject(nodeId), ""],
      [infoSubject(namespace, nodeId), ""],
      [deploySubject(namespace, nodeId), "{"],
      [stopSubject(namespace, nodeId), "{"],
    ] as const) {
      const reply = await connection.request(subject, body, { timeout: 20_000 });
      assert.equal(reply.headers, undefined, subject);
    }
  });

  row("1.1", "each request is answered once, a refused one too (B7)", async (target) => {
    const { connection, nodeId, namespace } = target;
    const counts = new Map<string, number>();
    const subscription = connection.subscribe("conformance.once.*", {
      callback: (_, { subject }) => void counts.set(subject, (counts.get(subject) ?? 0) + 1),
    });
    for (const [at, [subject, body]] of (
      [
        [pingNodeSubject(nodeId), ""],
        [infoSubject(namespace, nodeId), ""],
        [stopSubject(namespace, nodeId), '{"workload_id":"x"}'],
        [deploySubject(namespace, nodeId), "{}"],
      ] as const
    ).entries()) {
      connection.publish(subject, body, { reply: `conformance.once.${at}` });
    }
    await askQuietly(target, pingSubject);
    await ask(target, deploySubject(namespace, nodeId), "{}");
    subscription.unsubscribe();
    assert.deepEqual([...counts.values()], [1, 1, 1, 1]);
  });

  row(
    "1.1",
    "an empty body is good for PING, WPING and INFO",
    async (target) => {
      assert.equal((await ask(target, pingNodeSubject(target.nodeId), "")).error, undefined);
      assert.equal((await ask(target, infoSubject(target.namespace, target.nodeId), "")).error, undefined);
      await assertWorkloadPing(target, "");
    },
    { type: "v8" },
  );

  row(
    "1.1",
    "names of members match without regard to case, unknown ones pass by, null is the zero value",
    async (target) => {
      const name = freshName();
      const location = await uploadSource(target, "(s, p) => 1");
      const { trigger_subjects, environment, ...body } = deployBody(target, {
        name,
        type: "v8",
        location,
      }) as Record<string, unknown>;
      const answer = await sendDeploy(target, {
        ...body,
        TRIGGER_subjects: trigger_subjects,
        Environment: environment,
        ARGV: null,
        jsdomain: null,
        retry_count: null,
        essential: null,
        unknown: { of: "nobody" },
      });
      assert.equal(answer.error, undefined);
      await sendStop(target, { id: (answer.data as { id: string }).id, name });
    },
    { type: "v8", ours: "the stop needs another second than the deploy" },
  );
}

async function assertWorkloadPing(target: Target, body: string): Promise<void> {
  await using workload = await runFunction(target, "(s, p) => 1");
  const answer = await askQuietly(target, workloadPingSubject(target.namespace, workload.name), body);
  assertSuccess(answer, "ping");
}
