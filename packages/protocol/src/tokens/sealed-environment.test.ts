import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "../errors.ts";
import { vectors } from "../fixtures/vectors.ts";
import { type CurveKey, createKey, curveKeyOfSeed } from "./keys.ts";
import { environmentBytesMax, openEnvironment, sealEnvironment } from "./sealed-environment.ts";

const sender = curveKeyOfSeed(vectors.senderSeed);
const recipient = curveKeyOfSeed(vectors.recipientSeed);
const secret = "hunter2";

const sealText = (text: string, by: CurveKey = sender): string =>
  Buffer.from(by.seal(Buffer.from(text), recipient.publicKey)).toString("base64");

/** Message of the failure. Also checks that nothing printable in the error contains the secret. */
function refusal(sealed: string, from = sender.publicKey, by = recipient): string {
  try {
    openEnvironment(sealed, by, from);
  } catch (error) {
    assert.ok(error instanceof NexError);
    assert.equal(error.code, "environment_unreadable");
    const printed = [
      error.message,
      error.advice,
      String(error.cause),
      JSON.stringify(error.ids),
      error.stack,
    ];
    assert.ok(!printed.join("\n").includes(secret), error.message);
    return error.message.replace("Failed to decrypt environment for deploy request: ", "… ");
  }
  assert.fail("nothing was thrown");
}

test("openEnvironment opens Go Nex's boxes", () => {
  assert.deepEqual(openEnvironment(vectors.environment, recipient, vectors.sender), {
    nats_url: "nats://1.2.3.4:4222",
    ü: "☃",
  });
});

test("openEnvironment reverses sealEnvironment", () => {
  for (const environment of [{}, { A: "", b: "x\ny=z" }, JSON.parse('{"__proto__":"x"}')]) {
    const sealed = sealEnvironment(environment, sender, recipient.publicKey);
    assert.deepEqual(openEnvironment(sealed, recipient, sender.publicKey), environment);
  }
});

test("sealEnvironment uses Go Nex's format: xkv1, a fresh nonce, and the box", () => {
  const [a, b] = [1, 2].map(() =>
    Buffer.from(sealEnvironment({ A: "b" }, sender, recipient.publicKey), "base64"),
  );
  assert.equal(a?.toString("latin1", 0, 4), "xkv1");
  assert.notDeepEqual(a?.subarray(4, 28), b?.subarray(4, 28));
  assert.equal(a?.length, 4 + 24 + 16 + '{"A":"b"}'.length);
});

test("openEnvironment reads a sealed null as empty", () => {
  assert.deepEqual(openEnvironment(sealText("null"), recipient, sender.publicKey), {});
});

test("openEnvironment refuses another sender, another recipient and an invalid sender key", () => {
  const sealed = sealText(`{"A":"${secret}"}`);
  const other = curveKeyOfSeed(createKey("curve").seed);
  assert.equal(refusal(sealed, other.publicKey), "… nkeys: could not decrypt input");
  assert.equal(refusal(sealed, sender.publicKey, other), "… nkeys: could not decrypt input");
  for (const key of ["", vectors.issuer, `X${"A".repeat(55)}`]) {
    assert.equal(refusal(sealed, key), "… nkeys: not a valid sender public curve key");
  }
});

test("openEnvironment refuses a box with any byte changed or missing", () => {
  const box = Buffer.from(sealText(`{"A":"${secret}"}`), "base64");
  for (let at = 0; at < box.length; at++) {
    const damaged = Buffer.from(box);
    damaged[at] = (damaged[at] ?? 0) ^ 0x80;
    const expected = at < 4 ? "… nkeys: wrong encrypted version" : "… nkeys: could not decrypt input";
    assert.equal(refusal(damaged.toString("base64")), expected, `byte ${at}`);
    assert.match(refusal(box.subarray(0, at).toString("base64")), /^… nkeys: /, `cut at ${at}`);
  }
});

test("openEnvironment refuses malformed base64 and names the position, as Go Nex does", () => {
  assert.equal(refusal("!!!!"), "… illegal base64 data at input byte 0");
  assert.equal(refusal("eGt2*"), "… illegal base64 data at input byte 4");
  assert.equal(refusal(""), "… nkeys: encrypted input is not valid");
});

test("openEnvironment refuses values other than maps of strings", () => {
  for (const text of ["[]", `["${secret}"]`, `"${secret}"`, "5", "true"]) {
    assert.equal(refusal(sealText(text)), "… the sealed content is not a map", text);
  }
  for (const text of [`{"${secret}":5}`, `{"A":{"B":"${secret}"}}`, `{"A":null,"B":"${secret}"}`]) {
    assert.equal(refusal(sealText(text)), "… a value is not a string", text);
  }
  for (const text of [secret, "", `{"A":"${secret}"`, `{"A":"${secret}"}}`]) {
    assert.equal(refusal(sealText(text)), "… the sealed content is not JSON", text);
  }
});

test("openEnvironment refuses names and values that no process can have", () => {
  for (const map of [{ "": secret }, { [`A=${secret}`]: "" }, { "A\0": secret }, { A: `${secret}\0` }]) {
    const sealed = sealText(JSON.stringify(map));
    assert.equal(refusal(sealed), "… a name or value can't be in an environment");
  }
});

test("sealEnvironment refuses a recipient that is not a public curve key", () => {
  for (const key of ["", vectors.issuer, vectors.recipientSeed]) {
    assert.throws(
      () => sealEnvironment({ A: secret }, sender, key),
      (error) => {
        assert.ok(error instanceof NexError && !error.message.includes(secret));
        assert.equal(error.code, "key_invalid");
        return true;
      },
    );
  }
});

test("sealEnvironment accepts the largest environment and refuses one byte more", () => {
  const fits = { A: "x".repeat(environmentBytesMax - '{"A":""}'.length) };
  assert.deepEqual(
    openEnvironment(sealEnvironment(fits, sender, recipient.publicKey), recipient, sender.publicKey),
    fits,
  );
  assert.throws(() => sealEnvironment({ A: `${fits.A}x` }, sender, recipient.publicKey), {
    code: "request_too_large",
    message: /it has 131073 bytes, at most 131072 are accepted$/,
  });
});
