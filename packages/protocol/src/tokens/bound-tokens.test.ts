import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { vectors } from "../fixtures/vectors.ts";
import {
  boundLifeSeconds,
  boundLifeSecondsMax,
  checkBoundToken,
  checkDeployToken,
  checkLameDuckToken,
  checkStopToken,
  drainMsMax,
  requestDigest,
  signDeployToken,
  signLameDuckToken,
  signStopToken,
} from "./bound-tokens.ts";
import { clockLeewaySeconds, decodeClaims, encodeClaims, tokenUse } from "./claims.ts";
import { signerOfSeed } from "./keys.ts";

const signer = signerOfSeed(vectors.issuerSeed);
const node = "NABC";
const nowMs = 1_795_487_069_500;
const now = Math.floor(nowMs / 1000);
const sha256 = createHash("sha256").update("artifact").digest("hex");
const body = JSON.stringify({ type: "v8", target_node: node, nex: { version: 1 } });
const bytes = Buffer.from(body);

test("requestDigest covers the RFC 8785 form without the token and the members a retry adds", () => {
  const text =
    '{ "b":[1.0,"\\u00fc"],"workload_jwt":"x.y.z","Retry_Count":1,"retry_count":2,"retried_at":null,"a":{"retried_at":3,"z":null} }';
  const canonical =
    '{"body":{"Retry_Count":1,"a":{"retried_at":3,"z":null},"b":[1,"ü"]},"namespace":"default"}';
  // Names that differ only in case are ambiguous.
  assert.throws(() => requestDigest("default", text), { code: "request_not_canonical" });
  assert.equal(
    requestDigest("default", text.replace('"retry_count":2,', "")),
    createHash("sha256").update(canonical).digest("hex"),
  );
});

test("requestDigest depends on the namespace and each member, not on their order", () => {
  const digest = requestDigest("a", '{"x":1,"y":2}');
  assert.equal(requestDigest("a", '{ "y": 2, "x": 1, "workload_jwt": "t" }'), digest);
  for (const [namespace, other] of [
    ["b", '{"x":1,"y":2}'],
    ["a", '{"x":1,"y":2,"namespace":"a"}'],
    ["a", '{"x":1}'],
    ["a", '{"X":1,"y":2}'],
    ["a", '{"x":1,"y":null}'],
    ["a", '{"x":1,"y":2,"Workload_JWT":"t"}'],
  ] as const) {
    assert.notEqual(requestDigest(namespace, other), digest, other);
  }
});

test("requestDigest refuses values other than objects, and ambiguous ones", () => {
  for (const text of ["[]", "null", '"x"', "", '{"a":1,"a":1}', '{"a":"\\ud800"}']) {
    assert.throws(() => requestDigest("a", text), { code: "request_not_canonical" }, text);
  }
});

test("signDeployToken creates a token for one request, each with its own id", () => {
  const facts = { name: "echo", sha256, request: requestDigest("default", body) };
  const tokens = [signDeployToken(facts, signer, nowMs), signDeployToken(facts, signer, nowMs)];
  assert.notEqual(tokens[0], tokens[1]);
  const [token = ""] = tokens;
  const claims = decodeClaims(token);
  assert.equal(tokenUse(claims), "deploy");
  assert.deepEqual([claims.sub, claims.iss, claims.nats.hash], ["echo", signer.publicKey, sha256]);
  assert.deepEqual([claims.iat, claims.exp], [now, now + boundLifeSeconds]);
  const { until } = checkBoundToken(token, claims, nowMs);
  assert.equal(until, now + boundLifeSeconds + clockLeewaySeconds);
  checkDeployToken(claims, { namespace: "default", body: bytes, targetNode: node, node });
});

test("checkBoundToken returns the digest of the signed part, independent of the signature's encoding", () => {
  const token = signDeployToken({ name: "echo", sha256, request: "" }, signer, nowMs);
  const claims = decodeClaims(token);
  const { digest } = checkBoundToken(token, claims, nowMs);
  const signed = token.split(".").slice(0, 2).join(".");
  assert.equal(digest, createHash("sha256").update(signed).digest("base64url"));
  assert.equal(checkBoundToken(`${token}==`, claims, nowMs).digest, digest);
});

/** Claims of a bound token with other times. */
function timed(
  issuedAt: number,
  expires: number | undefined,
  id = "J",
): [string, ReturnType<typeof decodeClaims>] {
  const data = { nex: { version: 1, use: "deploy" } };
  const token = encodeClaims(
    { subject: "echo", issuedAt, ...(expires === undefined ? {} : { expires }), data, id },
    signer,
  );
  return [token, decodeClaims(token)];
}

test("checkBoundToken checks the times of a token, with the leeway", () => {
  const good: [number, number][] = [
    [now, now + boundLifeSecondsMax],
    [now - boundLifeSecondsMax, now],
    [now - 60, now - clockLeewaySeconds + 1],
    [now + clockLeewaySeconds, now + 60],
  ];
  for (const times of good) checkBoundToken(...timed(...times), nowMs);
  const bad: [number, number | undefined, string?][] = [
    [now, undefined],
    [now, now + 60, ""],
    [now, now + boundLifeSecondsMax + 1],
    [0, now + 60],
    [now - 120, now - clockLeewaySeconds - 1],
    [now + clockLeewaySeconds + 2, now + 60],
  ];
  for (const times of bad) {
    assert.throws(() => checkBoundToken(...timed(...times), nowMs), { code: "token_invalid" }, String(times));
  }
});

test("checkDeployToken refuses another body, namespace, node, and an artifact without a digest", () => {
  const claims = decodeClaims(
    signDeployToken({ name: "echo", sha256, request: requestDigest("default", body) }, signer, nowMs),
  );
  const check = { namespace: "default", body: bytes, targetNode: node, node };
  for (const other of [
    { namespace: "other" },
    { body: Buffer.from(body.replace("v8", "native")) },
    { body: Buffer.from(body.replace('"nex":{"version":1}', '"namespace":"default"')) },
    { targetNode: undefined },
    { node: "NXYZ" },
    { node: "NXYZ", targetNode: "NXYZ", body: Buffer.from(body.replace(node, "NXYZ")) },
  ]) {
    assert.throws(() => checkDeployToken(claims, { ...check, ...other }), { code: "token_for_another" });
  }
  const placeholder = { ...claims, nats: { ...claims.nats, hash: "abc12345TODOmakethisreal" } };
  assert.throws(() => checkDeployToken(placeholder, check), { code: "token_invalid" });
});

test("checkStopToken requires the signed workload, node and namespace", () => {
  const facts = { name: "echo", workloadId: "w1", node, namespace: "default" };
  const claims = decodeClaims(signStopToken(facts, signer, nowMs));
  assert.equal(tokenUse(claims), "stop");
  checkStopToken(claims, facts);
  for (const other of [{ workloadId: "w2" }, { node: "NXYZ" }, { namespace: "other" }]) {
    assert.throws(() => checkStopToken(claims, { ...facts, ...other }), { code: "token_for_another" });
  }
});

test("checkLameDuckToken returns the deadline of a token for this node, up to one hour", () => {
  const claimsOf = (deadlineMs: number) =>
    decodeClaims(signLameDuckToken({ node, deadlineMs }, signer, nowMs));
  for (const deadlineMs of [0, 30_000, drainMsMax]) {
    const claims = claimsOf(deadlineMs);
    assert.deepEqual([tokenUse(claims), checkLameDuckToken(claims, node)], ["lameduck", deadlineMs]);
  }
  assert.throws(() => checkLameDuckToken(claimsOf(0), "NXYZ"), { code: "token_for_another" });
  for (const deadlineMs of [-1, 0.5, drainMsMax + 1, "60" as never, undefined as never]) {
    assert.throws(() => checkLameDuckToken(claimsOf(deadlineMs), node), { code: "token_invalid" });
  }
});
