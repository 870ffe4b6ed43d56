/** Oversized input is refused before it costs anything: before a signature is checked, or anything is fetched. */
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { after, before, describe, mock, test } from "node:test";
import { createInbox } from "@nats-io/nats-core";
import { objectLocation } from "@nexengine/protocol/formats";
import { encodeClaims, sealEnvironment } from "@nexengine/protocol/tokens";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { send } from "./support/captured.ts";

const megabyte = 1_000_000;
const name = "large";

/** Counts what a request costs the node, which runs in this process. */
const signatureChecks = mock.method(crypto, "verify");
syncBuiltinESMExports();

let nexus: TestNexus;
let xkey: string;
let downloads = 0;
before(async () => {
  nexus = await startTestNexus();
  xkey = (await nexus.client.info(nexus.node.id)).public_xkey;
  await nexus.client.upload({ bytes: Buffer.from("() => 1") }, { key: name });
  nexus.client.connection.subscribe("$JS.API.STREAM.INFO.OBJ_NEXCLIFILES", {
    callback: () => void downloads++,
  });
  await nexus.client.flush();
});
after(async () => {
  signatureChecks.mock.restore();
  syncBuiltinESMExports();
  await nexus[Symbol.asyncDispose]();
});

function deployRequest(members: object = {}): object {
  const issuedAt = Math.floor(Date.now() / 1000);
  return {
    description: "",
    type: "v8",
    location: objectLocation("NEXCLIFILES", name),
    essential: false,
    workload_jwt: encodeClaims({ subject: name, issuedAt }, nexus.issuer),
    environment: sealEnvironment({}, nexus.publisher, xkey),
    sender_public_key: nexus.publisher.publicKey,
    target_node: nexus.node.id,
    trigger_subjects: [name],
    ...members,
  };
}

const subjectOf = (verb: string): string => `$NEX.${verb}.default.${nexus.node.id}`;

/** Sends a request. @returns its code, and what it has cost. */
async function cost(
  verb: string,
  body: object | string,
): Promise<{ code: string | undefined; checks: number; downloads: number }> {
  const before = { checks: signatureChecks.mock.callCount(), downloads };
  const { error, nex } = await send(nexus, subjectOf(verb), body);
  await nexus.client.flush();
  return {
    code: error === undefined ? undefined : nex?.code,
    checks: signatureChecks.mock.callCount() - before.checks,
    downloads: downloads - before.downloads,
  };
}

const nothing = { checks: 0, downloads: 0 };

describe("a DEPLOY", () => {
  test("of the usual size costs one check and one download, which shows that they are counted", async () => {
    const { code, checks, downloads } = await cost("DEPLOY", deployRequest());
    assert.deepEqual({ code, checks }, { code: undefined, checks: 1 });
    assert.ok(downloads > 0);
  });

  const argv = (count: number): string[] => Array<string>(count).fill("x");
  const cases: [what: string, code: string, members: () => object][] = [
    [
      "a body of 1 MB by an unknown member",
      "request_too_large",
      () => ({ whatever: "x".repeat(megabyte - 5_000) }),
    ],
    ["a description of 1 MB", "request_too_large", () => ({ description: "x".repeat(megabyte - 5_000) })],
    ["a description over its limit", "request_too_large", () => ({ description: "x".repeat(5_000) })],
    ["a token of 1 MB", "request_too_large", () => ({ workload_jwt: `${"A".repeat(megabyte - 5_000)}.A.A` })],
    ["a token of 100 kB in a body that fits", "token_invalid", () => ({ workload_jwt: "A.".repeat(50_000) })],
    ["ten thousand arguments", "request_too_large", () => ({ argv: argv(10_000) })],
    ["ten thousand trigger subjects", "request_too_large", () => ({ trigger_subjects: argv(10_000) })],
    [
      "a part of location of 100 kB",
      "request_too_large",
      () => ({ location: objectLocation("B", "k".repeat(100_000)) }),
    ],
    [
      "members nested a thousand deep",
      "malformed_request",
      () => ({ whatever: JSON.parse("[".repeat(1_000) + "]".repeat(1_000)) }),
    ],
  ];
  for (const [what, code, members] of cases) {
    test(`with ${what} is refused (${code}) without a check or a download`, async () => {
      assert.deepEqual(await cost("DEPLOY", deployRequest(members())), { code, ...nothing });
    });
  }

  test("with an environment of 180 kB is refused without a download", async () => {
    const environment = Buffer.concat([Buffer.from("xkv1"), Buffer.alloc(180_000)]).toString("base64");
    const { code, downloads } = await cost("DEPLOY", deployRequest({ environment }));
    assert.deepEqual({ code, downloads }, { code: "environment_unreadable", downloads: 0 });
  });
});

describe("a STOP", () => {
  for (const [what, code, workload_jwt] of [
    ["a token of 1 MB", "request_too_large", `${"A".repeat(megabyte - 5_000)}.A.A`],
    ["a token of 100 kB", "request_too_large", "A.".repeat(50_000)],
    ["a token of 20 kB", "token_invalid", "A.".repeat(10_000)],
  ] as const) {
    test(`with ${what} is refused (${code}) without a check, also of a workload that runs`, async () => {
      const { id } = await nexus.function("() => 1");
      assert.deepEqual(await cost("STOP", { workload_id: id, workload_jwt }), { code, ...nothing });
    });
  }
});

describe("an AUCTION", () => {
  /** Whether the node bids, and what its why says: whether it would, or the code of a refusal. */
  const answers = async (request: object): Promise<{ bids: boolean; why: boolean | string | undefined }> => {
    const { connection } = nexus.client;
    const text = JSON.stringify(request);
    const why = await send(nexus, "$NEX.AUCTION.why", text);
    const inbox = createInbox();
    let bids = false;
    const subscription = connection.subscribe(inbox, {
      callback: () => {
        bids = true;
      },
    });
    connection.publish("$NEX.AUCTION", text, { reply: inbox });
    // Requests are taken up in order.
    await nexus.client.info(nexus.node.id);
    subscription.unsubscribe();
    return { bids, why: why.error === undefined ? (why.data as { bids: boolean }).bids : why.nex?.code };
  };
  const tags = (count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, at) => [`t${at}`, "x"]));

  for (const [what, request, why] of [
    ["ten thousand tags", { tags: tags(10_000) }, "request_too_large"],
    ["one tag more than may be asked for", { tags: tags(129) }, false],
    ["a thousand types", { workload_types: Array<string>(1_000).fill("v8") }, false],
    ["a body of 1 MB", { whatever: "x".repeat(megabyte - 5_000) }, "request_too_large"],
    ["a body of 16 KiB and one byte", { whatever: "x".repeat(16_385 - 14) }, "request_too_large"],
  ] as const) {
    test(`for ${what} gets no bid, and its why says so`, async () => {
      assert.deepEqual(await answers(request), { bids: false, why });
    });
  }

  test("for a few tags that the node has gets one", async () => {
    assert.deepEqual(await answers({ tags: nexus.node.tags }), { bids: true, why: true });
  });
});

describe("a LAMEDUCK", () => {
  test("of 1 MB changes nothing", async () => {
    const body = "x".repeat(megabyte - 5_000);
    const { nex } = await send(nexus, `$NEX.LAMEDUCK.${nexus.node.id}`, body);
    assert.equal(nex?.code, "request_too_large");
    assert.equal((await nexus.client.info(nexus.node.id)).nex?.state, "running");
  });
});
