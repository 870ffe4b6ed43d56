/** No request on any control subject, however malformed, ends a node: each gets its answer or the reference's silence. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { pingNodeSubject } from "@nexengine/protocol/subjects";
import { encodeClaims, sealEnvironment } from "@nexengine/protocol/tokens";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { ask as askLoudly, askQuietly, type Envelope } from "./support/ask.ts";

let nexus: TestNexus;
before(async () => {
  nexus = await startTestNexus();
  await nexus.function("() => 1", { name: "there" });
});
after(() => nexus[Symbol.asyncDispose]());

/** The envelope that answers, or `undefined` for silence. */
function ask(subject: string, body: string): Promise<Envelope | undefined> {
  const asked = { connection: nexus.client.connection, nodeId: nexus.node.id };
  return (/\.(WPING|AUCTION)/.test(subject) ? askQuietly : askLoudly)(asked, subject, body);
}

describe("what else can come", () => {
  const subjects = [
    "PING",
    "AUCTION",
    "WPING",
    "WPING.default.x",
    "INFO.default.<node>",
    "DEPLOY.default.<node>",
  ];
  const more = [
    "STOP.default.<node>",
    "LAMEDUCK.x",
    "DEPLOY.system.<node>",
    "DEPLOY.a*b.<node>",
    "STOP.*.<node>",
  ];
  const bodies: [string, Uint8Array | string][] = [
    ["bytes that are no UTF-8", Buffer.from([0xff, 0xfe, 0x00])],
    ["a million nested arrays", "[".repeat(100_000) + "]".repeat(100_000)],
    ["a body of 1 MB", JSON.stringify({ description: "x".repeat(1_000_000) })],
    [
      "ten thousand tags",
      JSON.stringify({
        tags: Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`t${at}`, "x"])),
      }),
    ],
    ["prototype names", '{"__proto__":{"type":"v8"},"constructor":1,"tags":{"__proto__":"x"}}'],
    [
      "a token of 100 kB",
      JSON.stringify({
        type: "v8",
        trigger_subjects: ["a"],
        location: { Host: "b", Path: "/k" },
        workload_jwt: "a.".repeat(50_000),
      }),
    ],
    ["keys of another case", '{"TYPE":"v8","Trigger_Subjects":["$JS.x"]}'],
    ["a number where a name stands", '{"type":"v8","trigger_subjects":["a"],"location":{"Host":1}}'],
  ];
  test("is answered or passed over, and the node lives", async () => {
    for (const suffix of [...subjects, ...more]) {
      for (const [what, body] of bodies) {
        const subject = `$NEX.${suffix.replace("<node>", nexus.node.id)}`;
        nexus.client.connection.publish(subject, body, { reply: "test.nowhere" });
        nexus.client.connection.publish(subject, body);
        const alive = await ask(pingNodeSubject(nexus.node.id), "");
        assert.equal(alive?.error, undefined, `${subject} ${what}`);
      }
    }
    assert.equal(await nexus.call("there"), "1");
  });

  test("a thousand requests of all kinds at once are each answered once", async () => {
    const { connection } = nexus.client;
    const { id } = nexus.node;
    const kinds = [
      ["$NEX.PING", ""],
      [`$NEX.PING.${id}`, ""],
      [`$NEX.INFO.default.${id}`, ""],
      ["$NEX.WPING.default.there", ""],
      ["$NEX.AUCTION", "null"],
      ["$NEX.AUCTION.why", '{"tags":{"gpu":"yes"}}'],
      // It is refused, so that the node goes on.
      [`$NEX.LAMEDUCK.${id}`, '{"nex":{"version":1,"token":"a.b.c"}}'],
      [`$NEX.STOP.default.${id}`, '{"workload_id":"x"}'],
      [`$NEX.DEPLOY.default.${id}`, '{"type":"v8","trigger_subjects":["a"]}'],
    ] as const;
    const answers = new Map<string, number>();
    const subscription = connection.subscribe("many.*", {
      callback: (_, message) => void answers.set(message.subject, (answers.get(message.subject) ?? 0) + 1),
    });
    for (let at = 0; at < 1_000; at++) {
      const [subject, body] = kinds[at % kinds.length] ?? kinds[0];
      connection.publish(subject, body, { reply: `many.${at}` });
    }
    while (answers.size < 1_000) await new Promise((resolve) => setTimeout(resolve, 10));
    await nexus.client.nodes();
    subscription.unsubscribe();
    assert.equal(answers.size, 1_000);
    assert.ok([...answers.values()].every((count) => count === 1));
  });

  test("each member that a deploy must have is missed by name (W2, W3, W4)", async () => {
    const { deployment, body } = await recordedDeploy();
    for (const name of ["location", "workload_jwt", "environment", "sender_public_key", "type"]) {
      for (const value of [undefined, null, ""]) {
        const answer = await ask(
          `$NEX.DEPLOY.default.${nexus.node.id}`,
          JSON.stringify({ ...body, [name]: value }),
        );
        assert.ok(answer !== undefined && answer.data === "", name);
        assert.match(
          answer.nex?.code ?? "",
          /field_missing|unsupported_type|artifact|malformed_request/,
          name,
        );
      }
    }
    const optional = await ask(
      `$NEX.DEPLOY.default.${nexus.node.id}`,
      JSON.stringify({ ...body, description: null, target_node: null, argv: null, jsdomain: null }),
    );
    assert.equal(optional?.error, undefined, "W3, W4: what may be missing does not matter, then or later");
    assert.equal((await nexus.client.info(nexus.node.id)).machines.length, 3);
    assert.ok(deployment);
  });

  test("a member or value that this node does not know is refused, never ignored", async () => {
    const { body } = await recordedDeploy();
    const cases: object[] = [
      { version: 1, requires: ["trigger.telepathy"] },
      { version: 1, triggers: [{ type: "telepathy" }] },
      { version: 1, requires: ["no-such-feature"] },
      { version: 1, limits: { memory_bytes_max: 1 } },
      { version: 1, globals: "sometimes" },
      { version: 2 },
    ];
    for (const nex of cases) {
      const answer = await ask(`$NEX.DEPLOY.default.${nexus.node.id}`, JSON.stringify({ ...body, nex }));
      assert.equal(answer?.nex?.code, "feature_missing", JSON.stringify(nex));
    }
  });

  test("triggers take a token that is bound to them, and are checked", async () => {
    const { body } = await recordedDeploy();
    const cases: [triggers: object[], code: string][] = [
      [[{ type: "stream", stream: "ORDERS" }], "token_unbound"],
      [[{ type: "stream", stream: "a.b" }], "trigger_invalid"],
      [[{ type: "cron", schedule: "0 25 * * *" }], "trigger_invalid"],
      [[{ type: "subject", subject: "$SYS.x" }], "trigger_denied"],
      [[], "trigger_invalid"],
    ];
    for (const [triggers, code] of cases) {
      const nex = { version: 1, triggers };
      const answer = await ask(`$NEX.DEPLOY.default.${nexus.node.id}`, JSON.stringify({ ...body, nex }));
      assert.equal(answer?.nex?.code, code, JSON.stringify(triggers));
    }
  });
});

/** A deploy that was accepted, as the reference's client sends it: its token is not bound to a body, nothing but the environment is sealed. */
async function recordedDeploy(): Promise<{ deployment: unknown; body: Record<string, unknown> }> {
  const { promise, resolve } = Promise.withResolvers<Record<string, unknown>>();
  const subscription = nexus.client.connection.subscribe("$NEX.DEPLOY.>", {
    callback: (_, message) => resolve(message.json()),
  });
  const deployment = await nexus.function("() => 1");
  const body = await promise;
  subscription.unsubscribe();
  const token = encodeClaims(
    {
      subject: deployment.name,
      issuedAt: Math.floor(Date.now() / 1000),
      data: { hash: deployment.sha256 },
    },
    nexus.issuer,
  );
  const { public_xkey } = await nexus.client.info(nexus.node.id);
  const environment = sealEnvironment({}, nexus.publisher, public_xkey);
  const { nex: _, ...members } = body;
  return { deployment, body: { ...members, workload_jwt: token, environment } };
}

describe("an auction with additions", () => {
  const bid = async (nex: unknown): Promise<boolean> =>
    (await ask("$NEX.AUCTION", JSON.stringify({ workload_types: ["v8"], nex }))) !== undefined;

  test("gets a bid where the node can meet them", async () => {
    for (const nex of [
      null,
      { version: 1 },
      { version: 1, limits: {} },
      { version: 1, limits: { call_time_ms: 1_000, log_bytes_per_s: 10_000, network: "nats" } },
    ]) {
      assert.ok(await bid(nex), JSON.stringify(nex));
    }
  });

  for (const [what, nex] of [
    ["a limit that its machines don't hold", { version: 1, limits: { memory_bytes: 2 ** 28 } }],
    ["a network that its machines don't have", { version: 1, limits: { network: "none" } }],
    ["a port that functions don't have", { version: 1, limits: { publish: [{ machine_port: 80 }] } }],
    ["limits that contradict each other", { version: 1, limits: { network: "egress" } }],
    ["a limit out of bounds", { version: 1, limits: { call_time_ms: 0 } }],
    ["a limit that it does not know", { version: 1, limits: { gpus: 1 } }],
    ["a wish that it does not know", { version: 1, moon: true }],
    ["a version that it does not know", { version: 2 }],
    ["additions that are none", "all"],
  ] as const) {
    test(`meets ${what} with silence`, async () => {
      assert.equal(await bid(nex), false);
    });
  }
});

describe("an auction's why", () => {
  const why = async (
    nexus: TestNexus,
    request: object,
  ): Promise<{ bids: boolean; reasons: { code: string; text: string }[] }> => {
    const reply = await nexus.client.connection.request("$NEX.AUCTION.why", JSON.stringify(request));
    const { type, data } = reply.json() as { type: string; data: never };
    assert.equal(type, "io.nats.nex.v1.auction_why_response");
    return data;
  };

  test("names each thing that keeps a node from bidding, and nothing of the node's own", async () => {
    const config = {
      tags: { secret: "of the node" },
      limits: { max: { memory_bytes: 2 ** 28 } },
      valid_issuers: [createKey("account").publicKey],
      workload_types: ["v8" as const],
    };
    await using nexus = await startTestNexus({ config });
    const request = {
      os: "plan9",
      sandboxed: true,
      tags: { gpu: "yes", secret: "guess" },
      workload_types: ["wasm"],
      nex: {
        version: 1,
        issuer: createKey("account").publicKey,
        sandbox: "container",
        limits: { memory_bytes: 2 ** 29 },
      },
    };
    const { bids, reasons } = await why(nexus, request);
    assert.equal(bids, false);
    assert.deepEqual(
      reasons.map(({ text }) => text),
      [
        "is not plan9",
        "does not keep workloads apart",
        "lacks the tag gpu=yes",
        "lacks the tag secret=guess",
        "does not run workloads of type wasm",
        "has no sandbox as strong as container",
        "does not accept this issuer",
        "does not give memory_bytes 536870912",
      ],
    );
    assert.deepEqual(await why(nexus, { workload_types: ["v8"] }), {
      node_id: nexus.node.id,
      bids: true,
      reasons: [],
    });
    assert.equal((await why(nexus, { nex: { version: 1, unknown: 1 } })).reasons[0]?.code, "feature_missing");
  });

  test("is told to whoever deploys", async () => {
    await using nexus = await startTestNexus();
    await assert.rejects(nexus.function("() => 1", { tags: { gpu: "yes" } }), {
      code: "no_node",
      message: /: 1 lacks the tag gpu=yes$/,
    });
    await nexus.client.lameDuck(nexus.node.id);
    await assert.rejects(nexus.function("() => 1"), {
      code: "no_node",
      message: /: 1 is in lame duck mode$/,
    });
  });
});
