import assert from "node:assert/strict";
import { test } from "node:test";
import { clockLeewaySeconds, encodeClaims } from "./claims.ts";
import { checkEndorsement, type EndorsementCheck, readEndorsement, signEndorsement } from "./endorsement.ts";
import { createKey, signerOfSeed } from "./keys.ts";
import { signXkeyProof } from "./xkey-proof.ts";

const owner = signerOfSeed(createKey("operator").seed);
const node = signerOfSeed(createKey("node").seed);
const nodeId = node.publicKey;
const nexus = "prod";
const nowMs = 1_795_487_069_000;
const endorsement = signEndorsement({ nodeId, nexus }, owner, 3_600, nowMs);
const good: EndorsementCheck = { nodeId, nexus, endorsement, endorser: owner.publicKey };

test("checkEndorsement accepts an endorsement by the given key for this node and nexus, until it expires", () => {
  assert.match(owner.publicKey, /^O/);
  checkEndorsement(good, nowMs);
  checkEndorsement(good, nowMs + (3_600 + clockLeewaySeconds) * 1000);
  const later = nowMs + (3_601 + clockLeewaySeconds) * 1000;
  assert.throws(() => checkEndorsement(good, later), {
    code: "endorsement_invalid",
    message: /has expired$/,
  });
});

test("checkEndorsement refuses another key, node, nexus or use, a malformed token, and a missing one", () => {
  const other = signerOfSeed(createKey("operator").seed);
  const second = createKey("node").publicKey;
  const everlasting = encodeClaims(
    {
      subject: nodeId,
      issuedAt: nowMs / 1000,
      data: { nex: { version: 1, use: "endorsement", nexus } },
    },
    owner,
  );
  const cases: [Partial<EndorsementCheck>, RegExp][] = [
    [{ endorser: other.publicKey }, /by another key$/],
    [{ endorsement: signEndorsement({ nodeId, nexus }, other, 60, nowMs) }, /by another key$/],
    [{ endorsement: signEndorsement({ nodeId, nexus }, node, 60, nowMs) }, /by another key$/],
    [{ nodeId: second }, /for another node$/],
    [{ nodeId: owner.publicKey }, /for another node$/],
    [{ nexus: "dev" }, /for another nexus$/],
    [{ nexus: undefined }, /does not name its nexus/],
    [{ endorsement: undefined }, /nobody has endorsed it$/],
    [{ endorsement: "a.b.c" }, /can't be decoded$/],
    [{ endorsement: `${endorsement.slice(0, -8)}AAAAAAAA` }, /can't be decoded$/],
    [{ endorsement: signXkeyProof(node, "X", nowMs) }, /a token for something else$/],
    [{ endorsement: everlasting }, /does not expire$/],
  ];
  for (const [change, message] of cases) {
    assert.throws(() => checkEndorsement({ ...good, ...change }, nowMs), {
      code: "endorsement_invalid",
      message,
    });
  }
});

test("readEndorsement returns the issuer, also for an expired endorsement", () => {
  const old = signEndorsement({ nodeId, nexus }, owner, 1, 1_000);
  assert.equal(readEndorsement(old, { nodeId, nexus }).iss, owner.publicKey);
});
