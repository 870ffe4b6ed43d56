/** Tokens that do not pass as a legacy token, and the requests that a node opens when it requires bound tokens. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { encodeClaims, requestDigest, sealEnvironment, signDeployToken } from "@nexengine/protocol/tokens";
import { newSigner, startTestNexus, startTestNode, type TestNexus } from "@nexengine/testing";
import { capture, refusedCode } from "./support/captured.ts";

let nexus: TestNexus;
before(async () => {
  nexus = await startTestNexus();
});
after(() => nexus[Symbol.asyncDispose]());

const issuedAt = (): number => Math.floor(Date.now() / 1_000);

async function captured() {
  return await capture(nexus, "$NEX.DEPLOY.>", () => nexus.function("() => 1", { name: "legacy" }));
}

test("a JWT of NATS itself, signed by an account that may sign workloads, is no deploy token", async () => {
  const { subject, body } = await captured();
  const userKey = createKey("user").publicKey;
  const accountKey = createKey("account").publicKey;
  const tokens = {
    user: encodeClaims({ subject: userKey, issuedAt: issuedAt(), data: { type: "user" } }, nexus.issuer),
    activation: encodeClaims(
      { subject: accountKey, issuedAt: issuedAt(), data: { type: "activation" } },
      nexus.issuer,
    ),
    "of another kind": encodeClaims(
      { subject: "legacy", issuedAt: issuedAt(), data: { type: "account" } },
      nexus.issuer,
    ),
    "whose subject is a key": encodeClaims({ subject: userKey, issuedAt: issuedAt() }, nexus.issuer),
  };
  for (const [what, workload_jwt] of Object.entries(tokens)) {
    assert.equal(
      await refusedCode(nexus, { subject, body: { ...body, workload_jwt } }),
      "token_wrong_use",
      what,
    );
  }
});

test("a node that demands bound tokens opens no environment that was sealed for another's", async () => {
  await using strict = await startTestNode({
    server: nexus.server.url,
    config: { require_bound_claims: true },
  });
  const { subject, body } = await captured();
  const victim = nexus.publisher;
  const { public_xkey } = await nexus.client.info(strict.id);
  // Whoever sees a deploy has this box; the thief is an issuer too, and signs a request of their own around it.
  const environment = sealEnvironment({ SECRET: "x" }, victim, public_xkey);
  const thief = newSigner();
  const { sealed: _, ...extras } = body["nex"] as Record<string, unknown>;
  const request = {
    ...body,
    nex: { ...extras, requires: [] },
    environment,
    sender_public_key: victim.publicKey,
    target_node: strict.id,
  };
  const hash = JSON.parse(
    Buffer.from(String(body["workload_jwt"]).split(".")[1] ?? "", "base64url").toString(),
  ).nats.hash;
  const workload_jwt = signDeployToken(
    { name: "legacy", sha256: hash, request: requestDigest("default", JSON.stringify(request)) },
    thief,
    Date.now(),
  );
  const stolen = { subject: subject.replace(nexus.node.id, strict.id), body: { ...request, workload_jwt } };
  assert.equal(await refusedCode(nexus, stolen), "token_unbound");
  const empty = await nexus.function("() => 1", { name: "sealed", node: strict.id, environment: { A: "b" } });
  assert.equal(empty.nodeId, strict.id);
});
