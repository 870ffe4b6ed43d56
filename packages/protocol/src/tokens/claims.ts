/**
 * Generic claims: NATS JWT v2 with a plain name as its subject, like Go Nex's workload tokens. The encoding matches Go
 * byte for byte: key order, escapes and token id (see `goJson` and `tokenId`).
 */
import { createHash } from "node:crypto";
import { base32nopad } from "@scure/base";
import { z } from "zod";
import { NexError } from "../errors.ts";
import { isPublicKey, type Signer, verifySignature } from "./keys.ts";

/** Maximum length of a token; a longer one is refused before its signature is checked. */
export const tokenBytesMax = 16_384;
/** Tolerated clock difference between issuer and verifier. */
export const clockLeewaySeconds = 30;

const header = Buffer.from('{"typ":"JWT","alg":"ed25519-nkey"}').toString("base64url");

/** Purposes of our own tokens, as `nats.nex.use` names them. */
export const tokenUses = ["deploy", "stop", "trigger", "lameduck", "xkey-proof", "endorsement"] as const;
export type TokenUse = (typeof tokenUses)[number];

const secondsSchema = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const claimsSchema = z.object({
  jti: z.string().optional(),
  iat: secondsSchema.optional(),
  iss: z.string(),
  sub: z.string(),
  exp: secondsSchema.optional(),
  nbf: secondsSchema.optional(),
  /** Audience. Go Nex's tokens have none. */
  aud: z.unknown().optional(),
  nats: z.looseObject({
    /** Kind of a JWT that belongs to NATS itself: `user`, `account`, `activation` and so on. */
    type: z.unknown().optional(),
    hash: z.string().optional(),
    nex: z.looseObject({ version: z.literal(1), use: z.enum(tokenUses) }).optional(),
  }),
});

/** Content of a token whose signature has been verified. */
export type Claims = z.infer<typeof claimsSchema>;

/** Claims to sign into a token. */
export interface ClaimsToSign {
  subject: string;
  /** Issue time, in Unix seconds. */
  issuedAt: number;
  /** Expiry, in Unix seconds. */
  expires?: number;
  /** Display name. */
  name?: string;
  /** Token id. When absent, it is derived from the other claims, as Go Nex does. */
  id?: string;
  /** Members of `nats` other than `version`. */
  data?: Readonly<Record<string, unknown>>;
}

/** Signs generic claims and returns the token. */
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

/** Token id as Go derives it: base32 of SHA-512/256 over the standard claims. */
function tokenId(standard: object): string {
  return base32nopad.encode(createHash("sha512-256").update(goJson(standard)).digest());
}

/** JSON with Go's escapes of `<`, `>`, `&` and the two line separators. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Decodes a token and verifies its signature. The caller must check use, times and subject.
 *
 * @throws NexError `token_invalid` with Go Nex's texts.
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
  // A v1 signature does not cover the header. Different headers would make one token look like several, each usable
  // once.
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
 * Whether the current time lies within the token's validity period; missing bounds are open.
 *
 * @param nowMs Current time, in Unix ms.
 */
export function isTimely(claims: Claims, nowMs: number): boolean {
  const now = nowMs / 1000;
  if (claims.exp !== undefined && now > claims.exp + clockLeewaySeconds) return false;
  return claims.nbf === undefined || now >= claims.nbf - clockLeewaySeconds;
}

/**
 * Whether this token belongs to NATS itself. An account may sign user JWTs with the key that also signs workloads.
 * Every client can see those user JWTs, so they must never count as workload tokens.
 */
export function isNatsToken({ aud, sub, nats }: Claims): boolean {
  return aud !== undefined || nats.type !== undefined || isPublicKey(sub);
}

/** Purpose of one of our own tokens; `undefined` for Go Nex's legacy tokens. */
export function tokenUse(claims: Claims): TokenUse | undefined {
  return claims.nats.nex?.use;
}
