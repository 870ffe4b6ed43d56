/**
 * Generic claims: NATS JWT v2 with a plain-name subject, as the reference's workload tokens. Written byte for byte as
 * Go writes them: key order, escapes and token id (see `goJson` and `tokenId`).
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { encodeBase32 } from "./base32.ts";
import { NexError } from "./errors.ts";
import { isPublicKey, type Signer, verifySignature } from "./keys.ts";

/** Tokens longer than this are refused before their signature is checked. */
export const tokenBytesMax = 16_384;
/** How far clocks may differ. */
export const clockLeewaySeconds = 30;

const header = Buffer.from('{"typ":"JWT","alg":"ed25519-nkey"}').toString("base64url");

/** What our own tokens are for; see `nats.nex.use`. */
export const tokenUses = ["deploy", "stop", "lameduck", "xkey-proof", "endorsement"] as const;
export type TokenUse = (typeof tokenUses)[number];

const secondsSchema = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const claimsSchema = z.object({
  jti: z.string().optional(),
  iat: secondsSchema.optional(),
  iss: z.string(),
  sub: z.string(),
  exp: secondsSchema.optional(),
  nbf: secondsSchema.optional(),
  /** Whom a token is for. Tokens of the Go Nex have none. */
  aud: z.unknown().optional(),
  nats: z.looseObject({
    /** The kind of a JWT that is part of NATS itself: `user`, `account`, `activation` and so on. */
    type: z.unknown().optional(),
    hash: z.string().optional(),
    nex: z.looseObject({ version: z.literal(1), use: z.enum(tokenUses) }).optional(),
  }),
});

/** The content of a token whose signature was checked. */
export type Claims = z.infer<typeof claimsSchema>;

/** What a token is made of. */
export interface ClaimsToSign {
  subject: string;
  /** Seconds. */
  issuedAt: number;
  /** Seconds. */
  expires?: number;
  /** For people. */
  name?: string;
  /** The token's own id; one made of the other members, as the reference makes it, when absent. */
  id?: string;
  /** The members of `nats` beside `version`. */
  data?: Readonly<Record<string, unknown>>;
}

/** Signs generic claims. */
export function encodeClaims(claims: ClaimsToSign, signer: Signer): string {
  const standard = {
    exp: claims.expires,
    iat: claims.issuedAt,
    iss: signer.publicKey,
    name: claims.name,
    sub: claims.subject,
  };
  const data: Record<string, unknown> = {};
  for (const key of Object.keys(claims.data ?? {}).sort()) data[key] = claims.data?.[key];
  const payload = goJson({
    exp: standard.exp,
    jti: claims.id ?? tokenId(standard),
    iat: standard.iat,
    iss: standard.iss,
    name: standard.name,
    sub: standard.sub,
    nats: { ...data, version: 2 },
  });
  const signed = `${header}.${Buffer.from(payload).toString("base64url")}`;
  return `${signed}.${Buffer.from(signer.sign(Buffer.from(signed))).toString("base64url")}`;
}

/** Base32 of SHA-512/256 over the standard claims, as Go makes a token's id. */
function tokenId(standard: object): string {
  return encodeBase32(createHash("sha512-256").update(goJson(standard)).digest());
}

/** JSON with Go's escapes of `<`, `>`, `&` and the two line separators. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Decodes a token and checks its signature, and nothing else: use, times and subject are the caller's to check.
 *
 * @throws NexError `token_invalid` with the reference's texts.
 */
export function decodeClaims(token: string): Claims {
  if (token.length > tokenBytesMax)
    throw undecodable(`token has ${token.length} bytes, at most ${tokenBytesMax} are read`);
  const parts = token.split(".");
  const [head = "", body = "", signature = ""] = parts;
  if (parts.length !== 3) throw undecodable("expected 3 chunks");
  const version = versionOf(head);
  const signed = version === 2 ? `${head}.${body}` : body;
  const result = claimsSchema.safeParse(parsePart(body, "claims"));
  if (!result.success) {
    const issue = result.error.issues[0];
    throw undecodable(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}`);
  }
  const bytes = Buffer.from(signature, "base64url");
  if (!verifySignature(result.data.iss, Buffer.from(signed), bytes)) {
    throw undecodable(`claim failed V${version} signature verification`);
  }
  // Its header is not signed, so one token could be written in many ways and be used once in each of them.
  if (version === 1 && result.data.nats.nex !== undefined)
    throw undecodable("a token with nats.nex must be signed as ed25519-nkey");
  return result.data;
}

function versionOf(head: string): 1 | 2 {
  const parsed = z.object({ typ: z.string(), alg: z.string() }).safeParse(parsePart(head, "header"));
  const alg = parsed.success && parsed.data.typ.toUpperCase() === "JWT" ? parsed.data.alg.toLowerCase() : "";
  if (alg === "ed25519-nkey") return 2;
  if (alg === "ed25519") return 1;
  throw undecodable("not supported type or algorithm");
}

function parsePart(part: string, what: string): unknown {
  if (!/^[A-Za-z0-9_-]+$/.test(part)) throw undecodable(`illegal base64 data in the ${what}`);
  try {
    return JSON.parse(Buffer.from(part, "base64url").toString());
  } catch (cause) {
    throw new NexError("token_invalid", `could not decode workload JWT: the ${what} are not JSON`, { cause });
  }
}

function undecodable(why: string): NexError {
  return new NexError("token_invalid", `could not decode workload JWT: ${why}`);
}

/**
 * Is the token valid now, as far as it says?
 *
 * @param nowMs The clock.
 */
export function isTimely(claims: Claims, nowMs: number): boolean {
  const now = nowMs / 1000;
  if (claims.exp !== undefined && now > claims.exp + clockLeewaySeconds) return false;
  return claims.nbf === undefined || now >= claims.nbf - clockLeewaySeconds;
}

/**
 * Is this a token of NATS itself? An account signs those of its users with the key by which it may sign workloads,
 * and shows them to whoever connects, so none of them may count as a token for a workload.
 */
export function isNatsToken({ aud, sub, nats }: Claims): boolean {
  return aud !== undefined || nats.type !== undefined || isPublicKey(sub);
}

/** What one of our own tokens is for; `undefined` for the reference's loose ones. */
export function tokenUse(claims: Claims): TokenUse | undefined {
  return claims.nats.nex?.use;
}
