import assert from "node:assert/strict";
import { test } from "node:test";
import { fromCurveSeed, fromSeed } from "@nats-io/nkeys";
import { NexError } from "../errors.ts";
import { seededRandom } from "../fixtures/random.ts";
import { vectors } from "../fixtures/vectors.ts";
import { createKey, curveKeyOfSeed, isPublicKey, signerOfSeed, verifySignature } from "./keys.ts";

const data = Buffer.from("what is signed");

function refusal(attempt: () => unknown): NexError {
  try {
    attempt();
  } catch (error) {
    assert.ok(error instanceof NexError);
    return error;
  }
  assert.fail("nothing was thrown");
}

test("signerOfSeed derives the public key of the vector, and ignores white space around the seed", () => {
  assert.equal(signerOfSeed(` ${vectors.issuerSeed}\n`).publicKey, vectors.issuer);
});

test("signerOfSeed signs like the nkeys package", () => {
  const pair = fromSeed(Buffer.from(vectors.issuerSeed));
  assert.deepEqual(Buffer.from(signerOfSeed(vectors.issuerSeed).sign(data)), Buffer.from(pair.sign(data)));
});

test("signerOfSeed refuses a curve key, a public key and a damaged seed, without quoting them (S13)", () => {
  const damaged = `${vectors.issuerSeed.slice(0, -2)}AA`;
  for (const text of [vectors.senderSeed, vectors.issuer, damaged, "", "SA", "hunter2"]) {
    const error = refusal(() => signerOfSeed(text, "the issuer"));
    assert.equal(error.code, "key_invalid");
    assert.match(error.message, /the issuer/);
    if (text !== "" && text !== "SA") assert.ok(!error.message.includes(text), error.message);
  }
});

test("signerOfSeed and curveKeyOfSeed refuse foreign characters, and ignore the unused bits of the last one like Go", () => {
  for (const [read, seed] of [
    [signerOfSeed, vectors.issuerSeed],
    [curveKeyOfSeed, vectors.senderSeed],
  ] as const) {
    for (const foreign of ["a", "1", "=", " ", "é"]) {
      for (const at of [4, 30, seed.length - 1]) {
        const error = refusal(() => read(seed.slice(0, at) + foreign + seed.slice(at + foreign.length)));
        assert.equal(error.code, "key_invalid", `"${foreign}" at ${at}`);
      }
    }
    const last = String.fromCharCode(seed.charCodeAt(seed.length - 1) + 1);
    assert.equal(read(seed.slice(0, -1) + last).publicKey, read(seed).publicKey);
  }
});

test("curveKeyOfSeed derives the public keys of the vectors", () => {
  assert.equal(curveKeyOfSeed(`${vectors.senderSeed}\n`).publicKey, vectors.sender);
  assert.equal(curveKeyOfSeed(vectors.recipientSeed).publicKey, vectors.recipient);
});

test("curveKeyOfSeed refuses a signing key and a damaged seed, without quoting them", () => {
  const damaged = `${vectors.senderSeed.slice(0, -2)}AA`;
  for (const text of [vectors.issuerSeed, vectors.sender, damaged, ""]) {
    const error = refusal(() => curveKeyOfSeed(text, "the publisher"));
    assert.equal(error.code, "key_invalid");
    assert.match(error.message, /the publisher/);
    if (text !== "") assert.ok(!error.message.includes(text), error.message);
  }
});

test("createKey creates a new key of the given kind, and its seed restores it", () => {
  assert.match(createKey("account").publicKey, /^A/);
  assert.match(createKey("curve").publicKey, /^X/);
  const node = createKey("node");
  assert.match(node.publicKey, /^N/);
  assert.equal(signerOfSeed(node.seed).publicKey, node.publicKey);
  assert.notEqual(createKey("node").publicKey, node.publicKey);
});

test("isPublicKey recognizes public keys by prefix, length and checksum", () => {
  assert.ok(isPublicKey(vectors.issuer));
  assert.ok(isPublicKey(vectors.issuer, "A"));
  assert.ok(isPublicKey(vectors.sender, "X"));
  assert.ok(!isPublicKey(vectors.issuer, "N"));
  assert.ok(!isPublicKey(vectors.issuerSeed));
  assert.ok(!isPublicKey(vectors.issuer.toLowerCase()));
  assert.ok(!isPublicKey(`${vectors.issuer}A`));
  assert.ok(!isPublicKey(""));
  const random = seededRandom(2);
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  for (let at = 0; at < 56; at++) {
    const other = letters[(letters.indexOf(vectors.issuer[at] ?? "") + 1 + random.below(31)) % 32];
    const damaged = `${vectors.issuer.slice(0, at)}${other}${vectors.issuer.slice(at + 1)}`;
    assert.ok(!isPublicKey(damaged), damaged);
  }
});

test("verifySignature accepts only the signer's signature", () => {
  const signer = signerOfSeed(vectors.issuerSeed);
  const signature = Buffer.from(signer.sign(data));
  assert.ok(verifySignature(signer.publicKey, data, signature));
  assert.ok(!verifySignature(signer.publicKey, Buffer.from("what is signed?"), signature));
  assert.ok(!verifySignature(createKey("account").publicKey, data, signature));
  for (let at = 0; at < signature.length; at++) {
    const damaged = Buffer.from(signature);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assert.ok(!verifySignature(signer.publicKey, data, damaged));
  }
});

test("verifySignature is false if the key is not a public signing key, or the signature has another length", () => {
  const signer = signerOfSeed(vectors.issuerSeed);
  const signature = signer.sign(data);
  for (const key of ["", "A", vectors.sender, vectors.issuerSeed, "A".repeat(56)]) {
    assert.equal(verifySignature(key, data, signature), false);
  }
  assert.equal(verifySignature(signer.publicKey, data, signature.subarray(0, 63)), false);
  assert.equal(verifySignature(signer.publicKey, data, Buffer.concat([signature, Buffer.alloc(1)])), false);
});

test("a curve key opens boxes of the nkeys package, and the other way round", () => {
  const [one, other] = [createKey("curve"), createKey("curve")];
  const [ours, theirs] = [curveKeyOfSeed(one.seed), fromCurveSeed(Buffer.from(other.seed))];
  for (const bytes of [0, 1, 15, 16, 17, 63, 64, 65, 1_000, 200_000]) {
    const plain = Buffer.alloc(bytes, bytes);
    const opened = ours.open(theirs.seal(plain, one.publicKey), other.publicKey);
    assert.ok(opened !== undefined && plain.equals(opened), `${bytes} bytes of nkeys`);
    const back = theirs.open(ours.seal(plain, other.publicKey), one.publicKey);
    assert.ok(back !== null && plain.equals(back), `${bytes} bytes of ours`);
  }
});

test("a curve key refuses a box that is modified, truncated, or for another key or sender", () => {
  const [one, other] = [createKey("curve"), createKey("curve")];
  const [ours, sender] = [curveKeyOfSeed(one.seed), curveKeyOfSeed(other.seed)];
  const box = Buffer.from(sender.seal(data, one.publicKey));
  assert.ok(ours.open(box, other.publicKey) !== undefined);
  for (let at = 0; at < box.length; at++) {
    const damaged = Buffer.from(box);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assert.equal(ours.open(damaged, other.publicKey), undefined, `byte ${at}`);
    assert.equal(ours.open(box.subarray(0, at), other.publicKey), undefined, `${at} bytes`);
  }
  assert.equal(ours.open(box, one.publicKey), undefined);
  assert.equal(sender.open(box, other.publicKey), undefined);
  for (const key of ["", vectors.issuer, "X".repeat(56)]) {
    assert.equal(ours.open(box, key), undefined);
    assert.throws(() => ours.seal(data, key), { code: "key_invalid" });
  }
});
