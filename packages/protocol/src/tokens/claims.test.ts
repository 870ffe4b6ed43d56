import assert from "node:assert/strict";
import { test } from "node:test";
import { vectors } from "../fixtures/vectors.ts";
import {
  type Claims,
  clockLeewaySeconds,
  decodeClaims,
  encodeClaims,
  isTimely,
  tokenBytesMax,
  tokenUse,
  tokenUses,
} from "./claims.ts";
import { createKey, type Signer, signerOfSeed } from "./keys.ts";

const signer = signerOfSeed(vectors.issuerSeed);
const issuedAt = 1_795_487_069;

const base64 = (text: string): string => Buffer.from(text).toString("base64url");

/** A token with any header and payload, and a valid signature over `signed`. */
function tokenOf(head: object, payload: object | string, signed: "both" | "payload" = "both"): string {
  const first = base64(JSON.stringify(head));
  const body = base64(typeof payload === "string" ? payload : JSON.stringify(payload));
  const bytes = Buffer.from(signed === "both" ? `${first}.${body}` : body);
  return `${first}.${body}.${Buffer.from(signer.sign(bytes)).toString("base64url")}`;
}

const v2 = { typ: "JWT", alg: "ed25519-nkey" };
const plain = { iat: issuedAt, iss: signer.publicKey, sub: "echo", nats: { version: 2 } };

function refused(token: string, text: RegExp): void {
  assert.throws(() => decodeClaims(token), { name: "NexError", code: "token_invalid", message: text }, token);
}

test("encodeClaims encodes Go Nex's token byte for byte", () => {
  const claims = { subject: "echoservice", issuedAt, data: { hash: "hashbrowns" } };
  assert.equal(encodeClaims(claims, signer), vectors.token);
});

test("encodeClaims derives Go Nex's token id, equal only for equal issuer, name and second", () => {
  const idOf = (subject: string, at: number, data = {}): string | undefined =>
    decodeClaims(encodeClaims({ subject, issuedAt: at, data }, signer)).jti;
  assert.equal(idOf("echoservice", issuedAt), vectors.tokenId);
  assert.equal(idOf("echoservice", issuedAt, { hash: "other" }), vectors.tokenId);
  assert.notEqual(idOf("echoservice", issuedAt + 1), vectors.tokenId);
  assert.notEqual(idOf("echo", issuedAt), vectors.tokenId);
});

test("encodeClaims escapes like Go", () => {
  const token = encodeClaims({ subject: "a<b>&\u2028\u2029é", issuedAt }, signer);
  const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString();
  assert.match(payload, /"sub":"a\\u003cb\\u003e\\u0026\\u2028\\u2029é"/);
  assert.equal(decodeClaims(token).sub, "a<b>&\u2028\u2029é");
});

test("encodeClaims sorts the data's members and puts exp first, like Go", () => {
  const token = encodeClaims(
    { subject: "e", issuedAt, expires: issuedAt + 60, data: { z: 1, a: 2 } },
    signer,
  );
  const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString();
  assert.deepEqual(Object.keys(JSON.parse(payload)), ["exp", "jti", "iat", "iss", "sub", "nats"]);
  assert.match(payload, /"nats":\{"a":2,"z":1,"version":2\}/);
});

test("decodeClaims reads Go Nex's token", () => {
  const claims = decodeClaims(vectors.token);
  assert.deepEqual(claims, {
    jti: vectors.tokenId,
    iat: issuedAt,
    iss: vectors.issuer,
    sub: "echoservice",
    nats: { hash: "hashbrowns", version: 2 },
  });
  assert.equal(tokenUse(claims), undefined);
});

test("decodeClaims accepts a v1 token, whose signature covers only the payload", () => {
  const token = tokenOf({ typ: "jwt", alg: "ed25519" }, plain, "payload");
  assert.equal(decodeClaims(token).sub, "echo");
});

test("decodeClaims refuses a bound v1 token, which could be reused with another header", () => {
  const bound = { ...plain, nats: { nex: { version: 1, use: "deploy" } } };
  refused(tokenOf({ typ: "jwt", alg: "ed25519" }, bound, "payload"), /must be signed as ed25519-nkey$/);
  assert.equal(tokenUse(decodeClaims(tokenOf(v2, bound))), "deploy");
});

test("encodeClaims uses a given id instead of Go Nex's", () => {
  assert.equal(decodeClaims(encodeClaims({ subject: "echo", issuedAt, id: "mine" }, signer)).jti, "mine");
});

test("decodeClaims refuses a signature over the text of the other version", () => {
  refused(tokenOf({ typ: "JWT", alg: "ed25519" }, plain, "both"), /claim failed V1 signature verification$/);
  refused(tokenOf(v2, plain, "payload"), /claim failed V2 signature verification$/);
});

test("decodeClaims refuses a token with any one character changed", () => {
  for (let at = 0; at < vectors.token.length; at++) {
    const before = vectors.token[at];
    // The last character of a 64-byte signature has four unused bits.
    if (at === vectors.token.length - 1) continue;
    const damaged = `${vectors.token.slice(0, at)}${before === "B" ? "C" : "B"}${vectors.token.slice(at + 1)}`;
    assert.throws(() => decodeClaims(damaged), { code: "token_invalid" }, `at ${at}`);
  }
});

test("decodeClaims refuses a signature by another key", () => {
  const other: Signer = { ...signerOfSeed(createKey("account").seed), publicKey: signer.publicKey };
  refused(encodeClaims({ subject: "echo", issuedAt }, other), /claim failed V2 signature verification$/);
});

test("decodeClaims refuses an issuer that is not a public signing key", () => {
  for (const iss of ["", "A", vectors.sender, vectors.issuerSeed]) {
    refused(tokenOf(v2, { ...plain, iss }), /claim failed V2 signature verification$/);
  }
});

test("decodeClaims reports a token without three parts in Go Nex's words", () => {
  for (const token of ["", "abc", "a.b", `${vectors.token}.x`]) {
    refused(token, /^could not decode workload JWT: expected 3 chunks$/);
  }
});

test("decodeClaims refuses other algorithms and types", () => {
  const heads = [
    { typ: "JWT", alg: "none" },
    { typ: "JWT", alg: "HS256" },
    { typ: "JWS", alg: "ed25519-nkey" },
    {},
    [],
  ];
  for (const head of heads) refused(tokenOf(head, plain), /not supported type or algorithm$/);
});

test("decodeClaims refuses a part that is not base64url or JSON, without quoting it", () => {
  refused(`${base64("{")}.${base64("{}")}.AA`, /the header are not JSON$/);
  refused(`${base64(JSON.stringify(v2))}.${base64("secret")}.AA`, /the claims are not JSON$/);
  refused(`a+b.${base64("{}")}.AA`, /illegal base64 data in the header$/);
  refused(`${base64(JSON.stringify(v2))}..AA`, /illegal base64 data in the claims$/);
});

test("decodeClaims refuses malformed claims despite a valid signature", () => {
  const bad: object[] = [
    { ...plain, sub: 5 },
    { ...plain, sub: undefined },
    { ...plain, iss: undefined },
    { ...plain, nats: undefined },
    { ...plain, exp: "never" },
    { ...plain, exp: -1 },
    { ...plain, iat: 1.5 },
    { ...plain, nats: { hash: 5 } },
    { ...plain, nats: { nex: { version: 1, use: "anything" } } },
    { ...plain, nats: { nex: { version: 2, use: "deploy" } } },
    { ...plain, nats: { nex: {} } },
    { ...plain, nats: { nex: null } },
    [],
  ];
  for (const payload of bad) refused(tokenOf(v2, payload), /^could not decode workload JWT: /);
  refused(tokenOf(v2, "null"), /^could not decode workload JWT: /);
});

test("decodeClaims reads a token of the maximum size, and refuses a longer one before any other check", () => {
  const sized = (filler: number): string =>
    encodeClaims({ subject: "echo", issuedAt, data: { filler: "x".repeat(filler) } }, signer);
  let filler = 11_800;
  while (sized(filler + 1).length <= tokenBytesMax) filler++;
  assert.equal(decodeClaims(sized(filler)).sub, "echo");
  refused(sized(filler + 3), /at most 16384 are read$/);
  refused("x".repeat(tokenBytesMax + 1), /token has 16385 bytes, at most 16384 are read$/);
});

test("isTimely checks exp and nbf with the leeway, and is true without them", () => {
  const claims = (times: { exp?: number; nbf?: number }): Claims => ({
    iss: signer.publicKey,
    sub: "echo",
    nats: {},
    ...times,
  });
  const now = issuedAt * 1000;
  assert.ok(isTimely(claims({}), now));
  assert.ok(isTimely(claims({ exp: issuedAt - clockLeewaySeconds }), now));
  assert.ok(!isTimely(claims({ exp: issuedAt - clockLeewaySeconds - 1 }), now));
  assert.ok(isTimely(claims({ nbf: issuedAt + clockLeewaySeconds }), now));
  assert.ok(!isTimely(claims({ nbf: issuedAt + clockLeewaySeconds + 1 }), now));
});

test("tokenUse returns the purpose of each of our tokens", () => {
  for (const use of tokenUses) {
    const token = encodeClaims({ subject: "x", issuedAt, data: { nex: { version: 1, use } } }, signer);
    assert.equal(tokenUse(decodeClaims(token)), use);
  }
});
