import assert from "node:assert/strict";
import { test } from "node:test";
import { vectors } from "../fixtures/vectors.ts";
import { clockLeewaySeconds, encodeClaims, tokenUses } from "./claims.ts";
import { createKey, type Signer, signerOfSeed } from "./keys.ts";
import { checkXkeyProof, signXkeyProof, xkeyProofLifeSeconds } from "./xkey-proof.ts";

const node = signerOfSeed(createKey("node").seed);
const other = signerOfSeed(createKey("node").seed);
const xkey = vectors.recipient;
const nowSeconds = 1_795_487_069;
const nowMs = nowSeconds * 1000;

/** A token that the node, or an impostor, might present as a proof. */
function proofOf(
  claims: Record<string, unknown>,
  times: { iat?: number; exp?: number | undefined } = {},
  by: Signer = node,
): string {
  const issuedAt = times.iat ?? nowSeconds;
  return encodeClaims(
    {
      subject: typeof claims["sub"] === "string" ? claims["sub"] : node.publicKey,
      issuedAt,
      ...("exp" in times && times.exp === undefined ? {} : { expires: times.exp ?? issuedAt + 60 }),
      data: { nex: { version: 1, use: "xkey-proof", xkey, ...claims } },
    },
    by,
  );
}

function refused(proof: string, why: RegExp, nodeId = node.publicKey): void {
  assert.throws(
    () => checkXkeyProof(proof, nodeId, xkey, nowMs),
    { code: "xkey_proof_invalid", message: why, ids: { node: nodeId } },
    proof,
  );
}

test("checkXkeyProof accepts a proof by signXkeyProof until it expires", () => {
  const proof = signXkeyProof(node, xkey, nowMs);
  const endMs = nowMs + (xkeyProofLifeSeconds + clockLeewaySeconds) * 1000;
  checkXkeyProof(proof, node.publicKey, xkey, nowMs);
  checkXkeyProof(proof, node.publicKey, xkey, endMs);
  assert.throws(() => checkXkeyProof(proof, node.publicKey, xkey, endMs + 1000), /its proof has expired$/);
});

test("checkXkeyProof refuses a token for another use", () => {
  for (const use of tokenUses) {
    if (use !== "xkey-proof") refused(proofOf({ use }), /its proof is a token for something else$/);
  }
  const legacy = encodeClaims({ subject: node.publicKey, issuedAt: nowSeconds, data: { xkey } }, node);
  refused(legacy, /its proof is a token for something else$/);
});

test("checkXkeyProof refuses the proof of another node, and one signed by another node for this one", () => {
  refused(signXkeyProof(other, xkey, nowMs), /its proof is for another node$/);
  refused(proofOf({}, {}, other), /its proof is for another node$/);
  refused(proofOf({ sub: other.publicKey }), /its proof is for another node$/);
});

test("checkXkeyProof refuses a node id that is not a node key, even if it signed the proof", () => {
  const account = signerOfSeed(vectors.issuerSeed);
  refused(signXkeyProof(account, xkey, nowMs), /its proof is for another node$/, account.publicKey);
});

test("checkXkeyProof refuses the proof of another xkey, and one without an xkey", () => {
  refused(signXkeyProof(node, vectors.sender, nowMs), /its proof is for another xkey$/);
  refused(proofOf({ xkey: undefined }), /its proof is for another xkey$/);
  refused(proofOf({ xkey: [xkey] }), /its proof is for another xkey$/);
});

test("checkXkeyProof refuses an expired proof", () => {
  refused(signXkeyProof(node, xkey, nowMs - 48 * 3600 * 1000), /its proof has expired$/);
});

test("checkXkeyProof refuses a proof that is valid for more than a day", () => {
  refused(proofOf({}, { exp: nowSeconds + xkeyProofLifeSeconds + 1 }), /its proof is valid for too long$/);
  refused(proofOf({}, { exp: undefined }), /its proof is valid for too long$/);
});

test("checkXkeyProof refuses a proof issued in the future beyond the leeway", () => {
  const tenYears = nowSeconds + 10 * 365 * 86_400;
  for (const iat of [tenYears, nowSeconds + clockLeewaySeconds + 1]) {
    refused(proofOf({}, { iat, exp: iat + 60 }), /its proof was issued in the future$/);
  }
  checkXkeyProof(signXkeyProof(node, xkey, nowMs + clockLeewaySeconds * 1000), node.publicKey, xkey, nowMs);
});

test("checkXkeyProof refuses malformed and damaged tokens", () => {
  for (const proof of ["", "x", "a.b.c"]) refused(proof, /its proof can't be decoded$/);
  const proof = signXkeyProof(node, xkey, nowMs);
  refused(`${proof.slice(0, 60)}${proof[60] === "A" ? "B" : "A"}${proof.slice(61)}`, /can't be decoded$/);
});
