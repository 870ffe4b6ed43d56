/** The rest of §1.11 about workloads, and §1.13: how the client of Go Nex relies on a node, and nodes on a client. */
import assert from "node:assert/strict";
import { createInbox } from "@nats-io/nats-core";
import { auctionSubject } from "@nexengine/protocol/subjects";
import { isPublicKey } from "@nexengine/protocol/tokens";
import { until } from "@nexengine/testing";
import { z } from "zod";
import { askQuietly } from "../support/ask.ts";
import { linesOf } from "./feed-readers.ts";
import {
  call,
  freshName,
  type Heard,
  heard,
  info,
  ping,
  pingSchema,
  runFunction,
  runService,
  triggerOf,
} from "./requests.ts";
import type { Row } from "./suite.ts";
import type { Target } from "./target.ts";

const v8 = { type: "v8" } as const;
const source = "(s, p) => 1";

export function workloadRows(row: Row): void {
  row(
    "1.11",
    "an essential service that fails is started again, after a delay and under its id (B16)",
    async (target) => {
      let id = "";
      const lines = await linesOf(target, async (shown) => {
        const argv = ["out", "up", "exit", "3"];
        await using workload = await runService(target, argv, { essential: true });
        id = workload.id;
        await shown(/^up/m, 2);
      });
      for (const line of lines) assert.equal(line.id, id);
    },
    { type: "native", ours: "each start has another id, and is at once" },
  );
  row(
    "1.11",
    "an essential service that ends with 0 has ended",
    async (target) => {
      const { body } = await heard(target, `$NEX.events.${target.namespace}.workload_undeployed`, () =>
        runService(target, ["exit", "0"], { essential: true }),
      );
      assert.equal((body["data"] as { code: number }).code, 0);
      assert.deepEqual((await info(target)).machines, []);
    },
    { type: "native" },
  );
  row(
    "1.11",
    "the reply of a function has its bytes and no headers",
    async (target) => {
      await using workload = await runFunction(target, "(s, p) => ({ a: p.length })");
      const subject = triggerOf(target, workload.name);
      const reply = await target.connection.request(subject, "four", { timeout: 20_000 });
      assert.deepEqual([reply.string(), reply.headers], ['{"a":4}', undefined]);
    },
    v8,
  );
  row(
    "1.11",
    "the caller of a function that throws is answered at once, with an error (B12)",
    async (target) => {
      await using workload = await runFunction(target, '(s, p) => { throw new Error("bad day"); }');
      const subject = triggerOf(target, workload.name);
      const reply = await target.connection.request(subject, "", { timeout: 20_000 });
      assert.equal(reply.headers?.get("Nats-Service-Error-Code"), "500");
      assert.match(reply.string(), /bad day/);
    },
    { ...v8, ours: "the caller waits ten seconds for nothing" },
  );
  row(
    "1.11",
    "the caller of a function that hangs is answered at its limit, and the next call runs (B12, B14)",
    async (target) => {
      const hangs = "(s, p) => { while (p.length > 0); return 1; }";
      const limits = { call_time_ms: 100 };
      await using workload = await runFunction(target, hangs, { nex: { version: 1, limits } });
      const subject = triggerOf(target, workload.name);
      const reply = await target.connection.request(subject, "hang", { timeout: 20_000 });
      assert.equal(reply.headers?.get("Nats-Service-Error-Code"), "408");
      assert.equal(await call(target, subject), "1");
    },
    { ...v8, ours: "the function is never ended, and all calls after it wait in vain" },
  );
  row(
    "1.11",
    "copies of a function share its calls: one answers each (B12)",
    async (target) => {
      const name = freshName();
      const subject = triggerOf(target, name);
      await using _one = await runFunction(target, source, {}, name);
      await using _two = await runFunction(target, source, {}, name);
      let replies = 0;
      const shared = createInbox();
      const subscription = target.connection.subscribe(shared, {
        callback: () => void replies++,
      });
      for (let at = 0; at < 5; at++) {
        target.connection.publish(subject, "", { reply: shared });
        await call(target, subject);
      }
      // A copy may be slower than the one that has answered the call.
      await until(() => replies >= 5);
      await call(target, subject);
      await ping(target);
      subscription.unsubscribe();
      assert.equal(replies, 5);
    },
    { ...v8, ours: "every copy answers" },
  );
}

/** The DEPLOY that our client sends. */
async function clientDeploy(target: Target): Promise<{ deploy: Heard; stop: Heard }> {
  const { issuer, publisher, nodeId, namespace } = target;
  const name = freshName();
  const artifact = { bytes: Buffer.from(source) };
  const options = { name, type: "v8" as const, artifact, issuer, publisher, node: nodeId };
  let workloadId = "";
  const deploy = await heard(target, `$NEX.DEPLOY.*.${nodeId}`, async () => {
    const deployment = await target.client.deploy({ ...options, triggerSubjects: [`${namespace}.${name}`] });
    workloadId = deployment.id;
  });
  const stop = await heard(target, `$NEX.STOP.*.${nodeId}`, () =>
    target.client.stop({ nodeId, workloadId, name, issuer }),
  );
  return { deploy, stop };
}

export function checklistRows(row: Row): void {
  row(
    "1.13",
    "what Go Nex's command line reads is there: public_xkey, node_id, tags of name, system and processor",
    async (target) => {
      const { public_xkey, tags = {} } = await info(target);
      assert.ok(isPublicKey(public_xkey, "X"));
      assert.equal(pingSchema.parse((await askQuietly(target, auctionSubject))?.data).node_id, target.nodeId);
      for (const name of ["node_name", "nex.os", "nex.arch", "nex.cpucount"]) assert.ok(tags[name], name);
      assert.ok(tags["nex.unsafe"] === undefined || tags["nex.unsafe"] === "true");
    },
  );
  row(
    "1.13",
    "our client sends a DEPLOY with every member that Go Nex's always has, location as the whole object",
    async (target) => {
      const { deploy } = await clientDeploy(target);
      const text = z.string();
      z.looseObject({
        description: text,
        type: z.literal("v8"),
        location: z.strictObject({
          Scheme: z.literal("nats"),
          Opaque: text,
          User: z.null(),
          Host: text,
          Path: text.startsWith("/"),
          RawPath: text,
          OmitHost: z.boolean(),
          ForceQuery: z.boolean(),
          RawQuery: text,
          Fragment: text,
          RawFragment: text,
        }),
        essential: z.boolean(),
        workload_jwt: text.min(1),
        environment: text.min(1),
        jsdomain: text,
        sender_public_key: z.literal(target.publisher.publicKey),
        target_node: z.literal(target.nodeId),
        trigger_subjects: z.array(text).length(1),
      }).parse(deploy.body);
    },
    v8,
  );
  row(
    "1.13",
    "our client's STOP names workload and node, and its token is another than the deploy's",
    async (target) => {
      const { deploy, stop } = await clientDeploy(target);
      assert.deepEqual(Object.keys(stop.body).sort(), ["target_node", "workload_id", "workload_jwt"]);
      assert.notEqual(stop.body["workload_jwt"], deploy.body["workload_jwt"]);
    },
    v8,
  );
}
