import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { credsAuthenticator } from "@nats-io/nats-core";
import { decodeClaims } from "../tokens/claims.ts";
import { createKey, signerOfSeed } from "../tokens/keys.ts";
import { formatCredentials, parseCredentials, signNatsUser } from "./user.ts";

const account = signerOfSeed(createKey("account").seed);
const user = createKey("user");
const nowMs = Date.parse("2026-11-24T12:00:00Z");

test("signNatsUser names the account only if another key of it signs", () => {
  const permissions = { publish: ["a"], subscribe: [], responses: { max: 1, timeMs: 60_000 } };
  const base = { publicKey: user.publicKey, name: "me", permissions };
  const claims = decodeClaims(signNatsUser(base, account, nowMs));
  assert.deepEqual([claims.sub, claims.iss, claims.iat], [user.publicKey, account.publicKey, nowMs / 1000]);
  assert.deepEqual(claims.nats, {
    ...{ type: "user", version: 2, subs: -1, data: -1, payload: -1 },
    ...{ pub: { allow: ["a"] }, sub: { deny: [">"] }, resp: { max: 1, ttl: 60_000_000_000 } },
  });
  const other = createKey("account").publicKey;
  assert.equal(
    decodeClaims(signNatsUser({ ...base, account: other }, account, nowMs)).nats["issuer_account"],
    other,
  );
});

test("formatCredentials writes a file that the NATS client and parseCredentials can read", () => {
  const jwt = signNatsUser(
    { publicKey: user.publicKey, name: "me", permissions: { publish: [], subscribe: [] } },
    account,
    nowMs,
  );
  const content = formatCredentials({ jwt, seed: user.seed });
  assert.deepEqual(parseCredentials(content), { jwt, seed: user.seed });
  assert.deepEqual(parseCredentials(content.replaceAll("\n", "\r\n")), { jwt, seed: user.seed });
  const sent = credsAuthenticator(Buffer.from(content))("nonce");
  assert.equal(sent && "jwt" in sent && sent.jwt, jwt);
});

test("parseCredentials does not quote malformed content", () => {
  for (const content of [
    "hunter2",
    `-----BEGIN NATS USER JWT-----\nhunter2\n------END NATS USER JWT------`,
  ]) {
    assert.throws(
      () => parseCredentials(content, "the file"),
      (error: unknown) => !inspect(error).includes("hunter2"),
    );
  }
});
