/**
 * Nkeys. Ed25519 uses `node:crypto`, which is sixty times faster than the JavaScript of the nkeys package. The nkeys
 * package handles the encoding.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import {
  createAccount,
  createCurve,
  createOperator,
  createServer,
  createUser,
  fromCurveSeed,
  fromPublic,
  fromSeed,
  type KeyPair,
} from "@nats-io/nkeys";
import { base32nopad } from "@scure/base";
import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";
import { curvePrivateKey, openBox, sealBox } from "./curve-box.ts";

/** Signs with the private key of a public key. */
export interface Signer {
  /** 56 characters: `A…`, `N…` and so on. */
  readonly publicKey: string;
  sign(data: Uint8Array): Uint8Array;
}

/** X25519 key pair for sealing. */
export interface CurveKey {
  /** 56 characters: `X…`. */
  readonly publicKey: string;
  seal(data: Uint8Array, recipient: string): Uint8Array;
  /** @returns `undefined` if the box was not sealed for this key by this sender. */
  open(box: Uint8Array, sender: string): Uint8Array | undefined;
}

const publicKeyPattern = /^[A-Z2-7]{56}$/;
const derPrefixPrivate = Buffer.from("302e020100300506032b657004220420", "hex");
const derPrefixPublic = Buffer.from("302a300506032b6570032100", "hex");

/** Creates a signer from the text of a seed file. White space around the seed is ignored. */
export function signerOfSeed(seedText: string, what = "the key"): Signer {
  const seed = seedText.trim();
  try {
    if (!seed.startsWith("SX")) return signerOfPair(fromSeed(new TextEncoder().encode(seed)));
  } catch (cause) {
    throw new NexError("key_invalid", `Cannot read ${what}: it is not an nkey seed`, { cause });
  }
  throw new NexError(
    "key_invalid",
    `Cannot sign with ${what}: it is a curve key, but a signing key is required`,
  );
}

function signerOfPair(pair: KeyPair): Signer {
  const publicKey = pair.getPublicKey();
  const raw = rawSeed(pair.getSeed());
  const key = createPrivateKey({ key: Buffer.concat([derPrefixPrivate, raw]), format: "der", type: "pkcs8" });
  return { publicKey, sign: (data) => sign(null, data, key) };
}

/** Creates a curve key from the text of a seed file. */
export function curveKeyOfSeed(seedText: string, what = "the curve key"): CurveKey {
  const seed = seedText.trim();
  try {
    if (!seed.startsWith("SX"))
      throw new NexError("key_invalid", `Cannot use ${what}: it is not a curve key (SX…)`);
    return curveKeyOfPair(fromCurveSeed(new TextEncoder().encode(seed)));
  } catch (cause) {
    if (cause instanceof NexError) throw cause;
    throw new NexError("key_invalid", `Cannot read ${what}: it is not a curve nkey seed`, { cause });
  }
}

function curveKeyOfPair(pair: ReturnType<typeof createCurve>): CurveKey {
  const key = curvePrivateKey(rawSeed(pair.getSeed()));
  return {
    publicKey: pair.getPublicKey(),
    seal: (data, recipient) => {
      const raw = rawCurveKey(recipient);
      if (raw !== undefined) return sealBox(data, key, raw);
      throw new NexError(
        "key_invalid",
        `Cannot seal for "${printable(recipient)}": it is not a public curve key (X…)`,
      );
    },
    open: (box, sender) => {
      const raw = rawCurveKey(sender);
      return raw === undefined ? undefined : openBox(box, key, raw);
    },
  };
}

/**
 * A seed is a 2-byte prefix, a 32-byte key, and a 2-byte checksum, which the nkeys package has compared. Its first 56
 * characters hold the key, and have no unused bits, which Go ignores and `@scure/base` refuses.
 */
function rawSeed(seed: Uint8Array): Uint8Array {
  return base32nopad.decode(new TextDecoder().decode(seed.subarray(0, 56))).subarray(2, 34);
}

/** A public key is a 1-byte prefix, a 32-byte key, and a 2-byte checksum. */
function rawCurveKey(publicKey: string): Uint8Array | undefined {
  return isPublicKey(publicKey, "X") ? base32nopad.decode(publicKey).subarray(1, 33) : undefined;
}

/** Kinds of keys that users can create. */
export type NewKeyKind = "account" | "curve" | "node" | "operator" | "user";

/** Creates a key and its seed. */
export function createKey(kind: NewKeyKind): { publicKey: string; seed: string } {
  const pair = {
    account: createAccount,
    curve: createCurve,
    node: createServer,
    operator: createOperator,
    user: createUser,
  }[kind]();
  return { publicKey: pair.getPublicKey(), seed: new TextDecoder().decode(pair.getSeed()) };
}

/** Whether a text is a public nkey with a valid prefix and checksum. */
export function isPublicKey(text: string, prefix = ""): boolean {
  if (!publicKeyPattern.test(text) || !text.startsWith(prefix)) return false;
  try {
    fromPublic(text);
    return true;
  } catch {
    return false;
  }
}

const keyCacheSizeMax = 1024;
const keyCache = new Map<string, KeyObject>();

function verifyKey(publicKey: string): KeyObject | undefined {
  const cached = keyCache.get(publicKey);
  if (cached !== undefined) return cached;
  if (!isPublicKey(publicKey) || publicKey.startsWith("X")) return undefined;
  const raw = base32nopad.decode(publicKey).subarray(1, 33);
  const key = createPublicKey({ key: Buffer.concat([derPrefixPublic, raw]), format: "der", type: "spki" });
  if (keyCache.size >= keyCacheSizeMax) keyCache.clear();
  keyCache.set(publicKey, key);
  return key;
}

/** Verifies a signature. Returns false also if the key is not a public signing key. */
export function verifySignature(publicKey: string, data: Uint8Array, signature: Uint8Array): boolean {
  const key = verifyKey(publicKey);
  return key !== undefined && signature.length === 64 && verify(null, data, key, signature);
}
