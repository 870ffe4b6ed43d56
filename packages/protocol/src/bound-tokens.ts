/**
 * Bound tokens: each good for one request, to one node, for a short time, once. What a token says stands in
 * `nats.nex`; the reference passes it over.
 */
import { createHash, randomBytes } from "node:crypto";
import { encodeBase32 } from "./base32.ts";
import { canonicalJson, type JsonObject, parseStrictJson } from "./canonical-json.ts";
import { type Claims, clockLeewaySeconds, encodeClaims, isTimely } from "./claims.ts";
import { NexError } from "./errors.ts";
import type { Signer } from "./keys.ts";
import { signedDigest } from "./messages/workload.ts";

/** A node accepts no bound token that holds longer. */
export const boundLifeSecondsMax = 600;
/** How long ours hold. */
export const boundLifeSeconds = 60;

/** Members of a DEPLOY that its digest leaves out: the token itself, and what a node adds that tries again. */
const undigested: ReadonlySet<string> = new Set(["workload_jwt", "retry_count", "retried_at"]);
const decoder = new TextDecoder("utf-8");

/**
 * What a deploy token signs of its request: the SHA-256, in lower-case hex, of the RFC 8785 form of namespace and body.
 *
 * @param namespace The subject's third token.
 * @param body As it is on the wire; the token may be in it.
 * @throws NexError `request_not_canonical`
 */
export function requestDigest(namespace: string, body: Uint8Array | string): string {
  const value = parseStrictJson(typeof body === "string" ? body : decoder.decode(body));
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new NexError("request_not_canonical", "Cannot read the request for its signature: it is no object");
  }
  const signed = Object.create(null) as JsonObject;
  for (const name of Object.keys(value)) {
    if (!undigested.has(name)) signed[name] = value[name] as JsonObject;
  }
  return createHash("sha256")
    .update(canonicalJson({ namespace, body: signed }))
    .digest("hex");
}

/** The request that a deploy token is made for. */
export interface DeployTokenFacts {
  /** The workload's. */
  name: string;
  /** Of the artifact, lower-case hex. */
  sha256: string;
  /** See `requestDigest`. */
  request: string;
}

/** Signs a token for one DEPLOY. */
export function signDeployToken(facts: DeployTokenFacts, issuer: Signer, nowMs: number): string {
  const { name, sha256, request } = facts;
  return signBound(
    { subject: name, data: { hash: sha256, nex: { version: 1, use: "deploy", request } } },
    issuer,
    nowMs,
  );
}

/** The workload that a stop token is made for. */
export interface StopTokenFacts {
  name: string;
  workloadId: string;
  node: string;
  namespace: string;
}

/** Signs a token for one STOP. */
export function signStopToken(facts: StopTokenFacts, issuer: Signer, nowMs: number): string {
  const { name, workloadId: workload_id, node, namespace } = facts;
  return signBound(
    { subject: name, data: { nex: { version: 1, use: "stop", workload_id, node, namespace } } },
    issuer,
    nowMs,
  );
}

/** How long a node that ends may let its workloads finish, at most. */
export const drainMsMax = 3_600_000;

/** Signs a token with which an operator ends a node. */
export function signLameDuckToken(
  { node, deadlineMs }: { node: string; deadlineMs: number },
  operator: Signer,
  nowMs: number,
): string {
  return signBound(
    { subject: node, data: { nex: { version: 1, use: "lameduck", deadline_ms: deadlineMs } } },
    operator,
    nowMs,
  );
}

function signBound(
  claims: { subject: string; data: Readonly<Record<string, unknown>> },
  signer: Signer,
  nowMs: number,
): string {
  const issuedAt = Math.floor(nowMs / 1000);
  // A random id, so that two requests of one second are two tokens.
  const id = encodeBase32(randomBytes(20));
  return encodeClaims({ ...claims, issuedAt, expires: issuedAt + boundLifeSeconds, id }, signer);
}

/** What becomes of a bound token: by what it is remembered, and until when. */
export interface BoundToken {
  /** SHA-256 of what was signed, base64url. */
  digest: string;
  /** Seconds; after it the token is refused by its age alone. */
  until: number;
  /** Public key of who signed it. */
  issuer: string;
}

/**
 * Checks what every bound token must have. What it is bound to is checked by the functions below.
 *
 * @param token The text of which `claims` were decoded.
 * @throws NexError `token_invalid`
 */
export function checkBoundToken(token: string, claims: Claims, nowMs: number): BoundToken {
  const { iat, exp, jti } = claims;
  if (iat === undefined || exp === undefined || !jti) {
    throw new NexError("token_invalid", "the bound token lacks one of iat, exp and jti");
  }
  if (exp - iat > boundLifeSecondsMax) {
    throw new NexError(
      "token_invalid",
      `the bound token holds for ${exp - iat} s, at most ${boundLifeSecondsMax} s are accepted`,
    );
  }
  // One made ahead of time would hold for longer than that.
  if (iat > nowMs / 1000 + clockLeewaySeconds || !isTimely(claims, nowMs)) {
    throw new NexError(
      "token_invalid",
      `standard claims within JWT are not valid: the bound token has expired, or is dated into the future by more than ${clockLeewaySeconds} s`,
    );
  }
  const signed = token.slice(0, token.lastIndexOf("."));
  return {
    digest: createHash("sha256").update(signed).digest("base64url"),
    until: exp + clockLeewaySeconds,
    issuer: claims.iss,
  };
}

/** The refusal of a token that was accepted before. */
export function alreadyUsed(): NexError {
  return new NexError("token_already_used", "the token was used before; each serves once, so sign a new one");
}

/** The request that came with a deploy token. */
export interface DeployTokenCheck {
  namespace: string;
  /** As it came. */
  body: Uint8Array;
  targetNode: string | undefined;
  /** Who received it. */
  node: string;
}

/**
 * Checks that a bound deploy token was made for this request.
 *
 * @throws NexError `token_for_another`, `token_invalid`, `request_not_canonical`
 */
export function checkDeployToken(claims: Claims, check: DeployTokenCheck): void {
  if (signedDigest(claims.nats.hash) === undefined) {
    throw new NexError("token_invalid", "the bound token does not name the artifact by its SHA-256");
  }
  if (check.targetNode !== check.node) throw forAnother("the request is for another node (target_node)");
  if (claims.nats.nex?.["request"] !== requestDigest(check.namespace, check.body)) {
    throw forAnother("the request, or its namespace, is not the one that was signed");
  }
}

/**
 * Checks that a bound stop token was made for this workload.
 *
 * @throws NexError `token_for_another`
 */
export function checkStopToken(claims: Claims, check: Omit<StopTokenFacts, "name">): void {
  const { nex } = claims.nats;
  if (nex?.["node"] !== check.node) throw forAnother("it was signed for another node");
  if (nex["namespace"] !== check.namespace) throw forAnother("it was signed for another namespace");
  if (nex["workload_id"] !== check.workloadId) throw forAnother("it was signed for another workload");
}

/**
 * Checks that a lame duck token was made for this node.
 *
 * @returns how long its workloads have, in milliseconds.
 * @throws NexError `token_for_another`, `token_invalid`
 */
export function checkLameDuckToken(claims: Claims, node: string): number {
  if (claims.sub !== node) throw forAnother("it was signed for another node");
  const deadline = claims.nats.nex?.["deadline_ms"];
  if (typeof deadline === "number" && Number.isInteger(deadline) && deadline >= 0 && deadline <= drainMsMax) {
    return deadline;
  }
  throw new NexError("token_invalid", `its deadline_ms is not a whole number from 0 to ${drainMsMax}`);
}

function forAnother(why: string): NexError {
  return new NexError("token_for_another", why);
}
