/** A deploy that takes the place of a workload: nothing is lost between the two, and only its issuer may do it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Deployment } from "@nexengine/client";
import { encodeClaims } from "@nexengine/protocol/tokens";
import { eventOf, newSigner, startTestNexus, type TestNexus } from "@nexengine/testing";
import { capture, refusedCode, workloadCount } from "./support/captured.ts";

let nexus: TestNexus;
before(async () => {
  nexus = await startTestNexus({ config: { node_limits: { max_workloads: 2 } } });
});
after(() => nexus[Symbol.asyncDispose]());

/** Deploys a function that gives a number, in the place of others. */
const deploy = (value: number, replaces: readonly Deployment[] = [], name = "swap"): Promise<Deployment> =>
  nexus.function(`() => ${value}`, { name, node: nexus.node.id, replaces });

async function runningIds(): Promise<string[]> {
  return (await nexus.client.info(nexus.node.id)).machines.map(({ id }) => id);
}

describe("a deploy that replaces", () => {
  test("ends the previous workload once the new one takes calls, and no call is lost between them (B11)", async () => {
    const first = await deploy(1);
    let calling = true;
    const replies = new Set<string>();
    const caller = (async () => {
      while (calling) replies.add(await nexus.call("swap"));
    })();
    let second = first;
    const undeployed = await eventOf(nexus, "workload_undeployed", async () => {
      second = await deploy(2, [first]);
    });
    assert.equal(second.replaced, first.id);
    assert.equal(undeployed["reason"], `Replaced by ${second.id}`);
    assert.deepEqual(await runningIds(), [second.id]);
    calling = false;
    await caller;
    assert.ok(replies.has("1"));
    assert.equal(await nexus.call("swap"), "2");
    await nexus.stop(second);
  });

  test("has room on a node that is full without it", async () => {
    const first = await deploy(1);
    const other = await deploy(3, [], "other");
    await assert.rejects(deploy(2), { code: "workload_limit" });
    const second = await deploy(2, [first]);
    assert.equal(second.replaced, first.id);
    assert.equal(await nexus.call("swap"), "2");
    for (const one of [second, other]) await nexus.stop(one);
  });

  test("leaves the previous one as it was when the new one does not start (B11)", async () => {
    const first = await deploy(1);
    await assert.rejects(nexus.function("this is no source (", { name: "swap", replaces: [first] }));
    assert.equal(await nexus.call("swap"), "1");
    const second = await deploy(2, [first]);
    assert.equal(second.replaced, first.id);
    await nexus.stop(second);
  });

  test("starts beside what is gone, or is not this issuer's, and says so by naming nothing", async () => {
    const first = await deploy(1);
    const stranger = await nexus.function("() => 2", {
      name: "swap",
      issuer: newSigner(),
      replaces: [first],
    });
    assert.equal(stranger.replaced, undefined);
    assert.equal(await workloadCount(nexus), 2);
    await nexus.stop(first);
    const third = await deploy(3, [first]);
    assert.equal(third.replaced, undefined);
    assert.equal((await runningIds()).length, 2);
    await nexus.stop(third);
    for (const machine of (await nexus.client.info(nexus.node.id)).machines)
      assert.equal(machine.id, stranger.id);
  });
});

describe("replace_refused", () => {
  test("meets another issuer, another namespace, an unknown id, a legacy token and a second deploy", async () => {
    await using apart = await startTestNexus();
    const first = await apart.function("() => 1", { name: "mine" });
    const replacing = (id: string) =>
      apart.function("() => 2", { replaces: [{ id, nodeId: apart.node.id }] });
    /** The first attempt of a deploy, which names what it replaces. */
    const attempt = (act: () => Promise<unknown>) => capture(apart, "$NEX.DEPLOY.>", act);

    const codes: string[] = [];
    const seen = apart.client.connection.subscribe("$NEX.events.*.deploy_refused", {
      callback: (_, message) => void codes.push((message.json() as { data: { code: string } }).data.code),
    });
    const elsewhere = apart.inNamespace("other");
    const { issuer, publisher } = apart;
    const artifact = { bytes: Buffer.from("() => 3") };
    const options = { name: "x", type: "v8" as const, artifact, triggerSubjects: ["x"], issuer, publisher };
    await elsewhere.deploy({ ...options, replaces: [first] });
    await apart.function("() => 2", { issuer: newSigner(), replaces: [first] });
    await replacing("dc2f2m1ksdudki293gng");
    await apart.client.flush();
    assert.deepEqual(codes, ["replace_refused", "replace_refused", "replace_refused"]);
    seen.unsubscribe();
    assert.equal(await apart.call("mine"), "1");

    const { subject, body } = await attempt(() => replacing("dc2f2m1ksdudki293gng"));
    const token = encodeClaims({ subject: "legacy", issuedAt: Math.floor(Date.now() / 1000) }, issuer);
    const nex = { version: 1, replace: first.id };
    const legacy = { ...body, nex, workload_jwt: token };
    assert.equal(await refusedCode(apart, { subject, body: legacy }), "replace_refused");
    assert.equal(await apart.call("mine"), "1");

    const both = await Promise.all([replacing(first.id), replacing(first.id)]);
    assert.deepEqual(
      both.map(({ replaced }) => replaced).filter((id) => id !== undefined),
      [first.id],
    );
  });
});
