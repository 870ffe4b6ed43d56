/**
 * Nkeys. Ed25519 goes through `node:crypto` (sixty times faster than the JavaScript of the nkeys package); the nkeys
 * package serves for the encoding and for curve keys.
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
import { decodeBase32 } from "./base32.ts";
import { curvePrivateKey, openBox, sealBox } from "./curve-box.ts";
import { NexError } from "./errors.ts";
import { printable } from "./names.ts";

/** Something that signs in the name of a public key. */
export interface Signer {
  /** `A…`, `N…` and so on, 56 characters. */
  readonly publicKey: string;
  sign(data: Uint8Array): Uint8Array;
}

/** A key pair for sealing (X25519). */
export interface CurveKey {
  /** `X…`, 56 characters. */
  readonly publicKey: string;
  seal(data: Uint8Array, recipient: string): Uint8Array;
  /** @returns `undefined` when the box was not sealed for this key by this sender. */
  open(box: Uint8Array, sender: string): Uint8Array | undefined;
}

const publicKeyPattern = /^[A-Z2-7]{56}$/;
const derPrefixPrivate = Buffer.from("302e020100300506032b657004220420", "hex");
const derPrefixPublic = Buffer.from("302a300506032b6570032100", "hex");

/** A signer from the text of a seed file; white space around the seed is fine. */
export function signerOfSeed(seedText: string, what = "the key"): Signer {
  const pair = pairOfSeed(seedText, what);
  return signerOfPair(pair);
}

function pairOfSeed(seedText: string, what: string): KeyPair {
  const seed = seedText.trim();
  try {
    if (!seed.startsWith("SX")) return fromSeed(new TextEncoder().encode(seed));
  } catch (cause) {
    throw new NexError("key_invalid", `Cannot read ${what}: it is not an nkey seed`, { cause });
  }
  throw new NexError("key_invalid", `Cannot sign with ${what}: it is a curve key, a signing key is needed`);
}

function signerOfPair(pair: KeyPair): Signer {
  const publicKey = pair.getPublicKey();
  const raw = rawSeed(pair.getSeed());
  const key = createPrivateKey({ key: Buffer.concat([derPrefixPrivate, raw]), format: "der", type: "pkcs8" });
  return { publicKey, sign: (data) => sign(null, data, key) };
}

/** A curve key from the text of a seed file. */
export function curveKeyOfSeed(seedText: string, what = "the curve key"): CurveKey {
  const seed = seedText.trim();
  let pair: ReturnType<typeof fromCurveSeed>;
  try {
    if (!seed.startsWith("SX"))
      throw new NexError("key_invalid", `Cannot use ${what}: it is not a curve key (SX…)`);
    pair = fromCurveSeed(new TextEncoder().encode(seed));
  } catch (cause) {
    if (cause instanceof NexError) throw cause;
    throw new NexError("key_invalid", `Cannot read ${what}: it is not a curve nkey seed`, { cause });
  }
  return curveKeyOfPair(pair);
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

/** A seed is 2 bytes of prefix, 32 bytes of key, and a checksum of 2. */
function rawSeed(seed: Uint8Array): Uint8Array {
  return decodeBase32(new TextDecoder().decode(seed)).subarray(2, 34);
}

/** A public key is a byte of prefix, 32 bytes of key, and a checksum of 2. */
function rawCurveKey(publicKey: string): Uint8Array | undefined {
  return isPublicKey(publicKey, "X") ? decodeBase32(publicKey).subarray(1, 33) : undefined;
}

/** The kinds of key that people make. */
export type NewKeyKind = "account" | "curve" | "node" | "operator" | "user";

/** Makes a key and its seed text. */
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

/** Is this a public nkey, whose prefix and checksum fit? */
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
  const raw = decodeBase32(publicKey).subarray(1, 33);
  const key = createPublicKey({ key: Buffer.concat([derPrefixPublic, raw]), format: "der", type: "spki" });
  if (keyCache.size >= keyCacheSizeMax) keyCache.clear();
  keyCache.set(publicKey, key);
  return key;
}

/** Did the holder of this public key sign the data? False also for what is not a public signing key. */
export function verifySignature(publicKey: string, data: Uint8Array, signature: Uint8Array): boolean {
  const key = verifyKey(publicKey);
  return key !== undefined && signature.length === 64 && verify(null, data, key, signature);
}
