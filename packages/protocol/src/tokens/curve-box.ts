/**
 * NaCl boxes (X25519, XSalsa20, Poly1305) in NATS's xkv1 format: `xkv1`, a 24-byte nonce, the box. OpenSSL performs the
 * key agreement, and a library the encryption. The JavaScript of the nkeys package would block the event loop for 20 ms
 * for a large environment.
 */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject, randomBytes } from "node:crypto";
import { hsalsa, xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { NexError } from "../errors.ts";

const head = Buffer.from("xkv1");
const nonceBytes = 24;
const tagBytes = 16;
const pkcs8Head = Buffer.from("302e020100300506032b656e04220420", "hex");
const spkiHead = Buffer.from("302a300506032b656e032100", "hex");
/** "expand 32-byte k", the constant of Salsa20, as words. */
const sigma = wordsOf(Buffer.from("expand 32-byte k"));

/** Creates a private X25519 key. @param raw 32 bytes. */
export function curvePrivateKey(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([pkcs8Head, raw]), format: "der", type: "pkcs8" });
}

/** Seals data for a 32-byte public key. */
export function sealBox(data: Uint8Array, key: KeyObject, recipient: Uint8Array): Uint8Array {
  const nonce = randomBytes(nonceBytes);
  const shared = sharedKey(key, recipient);
  if (shared === undefined) {
    throw new NexError(
      "key_invalid",
      "Cannot seal: the recipient's key is of low order, so anybody could open the box",
    );
  }
  return Buffer.concat([head, nonce, xsalsa20poly1305(shared, nonce).encrypt(data)]);
}

/**
 * Opens a box from the holder of a 32-byte public key. @returns `undefined` if it is not for this key, or was modified.
 */
export function openBox(box: Uint8Array, key: KeyObject, sender: Uint8Array): Uint8Array | undefined {
  const start = head.length + nonceBytes;
  if (box.length < start + tagBytes || !head.equals(box.subarray(0, head.length))) return undefined;
  const shared = sharedKey(key, sender);
  if (shared === undefined) return undefined;
  try {
    return xsalsa20poly1305(shared, box.subarray(head.length, start)).decrypt(box.subarray(start));
  } catch {
    return undefined;
  }
}

/** Key of `crypto_box_beforenm`: HSalsa20 of the shared secret. */
function sharedKey(key: KeyObject, other: Uint8Array): Uint8Array | undefined {
  let secret: Buffer;
  try {
    const publicKey = createPublicKey({
      key: Buffer.concat([spkiHead, other]),
      format: "der",
      type: "spki",
    });
    secret = diffieHellman({ privateKey: key, publicKey });
  } catch {
    // OpenSSL refuses keys of low order.
    return undefined;
  }
  const out = new Uint32Array(8);
  hsalsa(sigma, wordsOf(secret), new Uint32Array(4), out);
  return bytesOf(out);
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.byteLength / 4 }, (_, at) => view.getUint32(at * 4, true));
}

function bytesOf(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [at, word] of words.entries()) view.setUint32(at * 4, word, true);
  return bytes;
}
