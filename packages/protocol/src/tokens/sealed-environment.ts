/** Environments sealed from the publisher's curve key to the node's: base64 of an `xkv1` box with a JSON map. */
import { NexError } from "../errors.ts";
import { type CurveKey, isPublicKey } from "./keys.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string>>;

export const environmentBytesMax = 131_072;
const failed = "Failed to decrypt environment for deploy request";

/**
 * Seals an environment.
 *
 * @param recipient The node's `X…` key.
 * @throws NexError `key_invalid`, `request_too_large`
 */
export function sealEnvironment(
  environment: Environment | null,
  sender: CurveKey,
  recipient: string,
): string {
  return sealJson(environment, environmentBytesMax, sender, recipient);
}

/**
 * Seals a JSON value.
 *
 * @param recipient The node's `X…` key.
 * @throws NexError `key_invalid`, `request_too_large`
 */
export function sealJson(value: unknown, bytesMax: number, sender: CurveKey, recipient: string): string {
  if (!isPublicKey(recipient, "X")) {
    throw new NexError(
      "key_invalid",
      "Cannot seal the environment: the node's xkey is not a public curve key",
    );
  }
  const plain = jsonWithin(value, bytesMax);
  return Buffer.from(sender.seal(plain, recipient)).toString("base64");
}

/** @throws NexError `request_too_large` */
export function jsonWithin(value: unknown, bytesMax: number): Uint8Array {
  const plain = Buffer.from(JSON.stringify(value));
  if (plain.length <= bytesMax) return plain;
  throw new NexError(
    "request_too_large",
    `Cannot seal the environment: it has ${plain.length} bytes, at most ${bytesMax} are accepted`,
  );
}

/**
 * Opens a sealed environment; a sealed `null` is an empty one. Errors never quote its content.
 *
 * @throws NexError `environment_unreadable`; its message starts like Go Nex's.
 */
export function openEnvironment(sealed: string, recipient: CurveKey, sender: string): Environment {
  return readEnvironment(openJson(sealed, environmentBytesMax, recipient, sender));
}

/**
 * Opens a sealed JSON value. Errors never quote its content.
 *
 * @throws NexError `environment_unreadable`; its message starts like Go Nex's.
 */
export function openJson(sealed: string, bytesMax: number, recipient: CurveKey, sender: string): unknown {
  const box = decodeBox(sealed, bytesMax);
  if (!isPublicKey(sender, "X")) throw unreadable("nkeys: not a valid sender public curve key");
  const plain = openBox(box, recipient, sender);
  try {
    return JSON.parse(Buffer.from(plain).toString());
  } catch {
    throw unreadable("the sealed content is not JSON");
  }
}

/**
 * Checks that an opened value is an environment; `null` is an empty one.
 *
 * @throws NexError `environment_unreadable`
 */
export function readEnvironment(value: unknown): Environment {
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw unreadable("the sealed content is not a map");
  for (const [name, member] of Object.entries(value)) checkVariable(name, member);
  return value as Environment;
}

function decodeBox(sealed: string, bytesMax: number): Uint8Array {
  const bad = /[^A-Za-z0-9+/=\r\n]/.exec(sealed);
  if (bad !== null) throw unreadable(`illegal base64 data at input byte ${bad.index}`);
  const box = Buffer.from(sealed, "base64");
  // Version, nonce and authenticator take 44 bytes.
  if (box.length < 44 || box.length > bytesMax + 64) throw unreadable("nkeys: encrypted input is not valid");
  if (box.toString("latin1", 0, 4) !== "xkv1") throw unreadable("nkeys: wrong encrypted version");
  return box;
}

function openBox(box: Uint8Array, recipient: CurveKey, sender: string): Uint8Array {
  let plain: Uint8Array | undefined;
  try {
    plain = recipient.open(box, sender);
  } catch {
    plain = undefined;
  }
  if (plain === undefined) throw unreadable("nkeys: could not decrypt input");
  return plain;
}

function checkVariable(name: string, value: unknown): void {
  if (typeof value !== "string") throw unreadable("a value is not a string");
  if (name === "" || /[=\0]/.test(name) || value.includes("\0"))
    throw unreadable("a name or value can't be in an environment");
}

/** Error for a sealed value. The reason must not quote its content. */
export function unreadable(reason: string): NexError {
  return new NexError("environment_unreadable", `${failed}: ${reason}`);
}
