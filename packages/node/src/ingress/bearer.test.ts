import assert from "node:assert/strict";
import { test } from "node:test";
import { createKey, encodeClaims, signerOfSeed } from "@nexengine/protocol/tokens";
import { BearerTokens } from "./bearer.ts";

const account = signerOfSeed(createKey("account").seed);
const user = createKey("user").publicKey;
const nowS = 1_800_000_000;

const token = (more: object = {}, signer = account): string =>
  encodeClaims(
    {
      ...{ subject: user, issuedAt: nowS, expires: nowS + 60 },
      data: { type: "user", bearer_token: true },
      ...more,
    },
    signer,
  );

test("BearerTokens accepts a token until its expiry, also one that it knows", () => {
  const tokens = new BearerTokens();
  const header = `Bearer ${token()}`;
  const userAt = (second: number) => tokens.userOf(header, [account.publicKey], second * 1_000);
  assert.equal(userAt(nowS), user);
  assert.equal(userAt(nowS + 59), user);
  assert.equal(userAt(nowS + 60), undefined);
  assert.equal(userAt(nowS + 61), undefined);
});

test("BearerTokens asks for each route whether the issuer is listed, also of a token that it knows", () => {
  const tokens = new BearerTokens();
  const header = `bearer  ${token()}`;
  const other = createKey("account").publicKey;
  assert.equal(tokens.userOf(header, [other, account.publicKey], nowS * 1_000), user);
  assert.equal(tokens.userOf(header, [other], nowS * 1_000), undefined);
  assert.equal(tokens.userOf(header, [], nowS * 1_000), undefined);
});

test("BearerTokens refuses tokens of other kinds and other forms", () => {
  const tokens = new BearerTokens();
  const refused: (string | undefined)[] = [
    ...[undefined, "", "Bearer", "Bearer ", "Bearer x", `Basic ${token()}`, token(), `Bearer ${token()} x`],
    `Bearer ${token({ subject: createKey("account").publicKey })}`,
    `Bearer ${token({ subject: "somebody" })}`,
    `Bearer ${token({ data: { type: "user", bearer_token: "true" } })}`,
    `Bearer ${token({ data: { type: "user", bearer_token: true, fill: "x".repeat(9_000) } })}`,
    `Bearer ${token({}, signerOfSeed(createKey("user").seed))}`,
  ];
  for (const header of refused)
    assert.equal(tokens.userOf(header, [account.publicKey], nowS * 1_000), undefined, String(header));
});
