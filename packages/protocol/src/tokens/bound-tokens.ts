/**
 * Bound tokens: each is valid for one request to one node, once, for a short time. The binding is in `nats.nex`, which
 * Go Nex ignores.
 */
import { createHash, randomBytes } from "node:crypto";
import { base32nopad } from "@scure/base";
import { NexError } from "../errors.ts";
import { canonicalJson, type JsonObject, parseStrictJson } from "../formats/canonical-json.ts";
import { signedDigest } from "../messages/workload.ts";
import { type Claims, clockLeewaySeconds, encodeClaims, isTimely } from "./claims.ts";
import type { Signer } from "./keys.ts";

/** Maximum lifetime of a bound token that a node accepts. */
export const boundLifeSecondsMax = 600;
/** Lifetime of the bound tokens that we sign. */
export const boundLifeSeconds = 60;

/** Members of a DEPLOY outside its digest: the token itself, and the members that a node adds when it retries. */
const undigested: ReadonlySet<string> = new Set(["workload_jwt", "retry_count", "retried_at"]);
const decoder = new TextDecoder("utf-8");

/**
 * Request digest that a deploy token signs: SHA-256, in lower-case hex, of the RFC 8785 form of namespace and body.
 *
 * @param namespace Third token of the subject.
 * @param body Body as sent on the wire; it may contain the token.
 * @throws NexError `request_not_canonical`
 */
export function requestDigest(namespace: string, body: Uint8Array | string): string {
  const value = parseStrictJson(typeof body === "string" ? body : decoder.decode(body));
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new NexError(
      "request_not_canonical",
      "Cannot digest the request for its signature: it is not a JSON object",
    );
  }
  const signed = Object.create(null) as JsonObject;
  for (const name of Object.keys(value)) {
    if (!undigested.has(name)) signed[name] = value[name] as JsonObject;
  }
  return createHash("sha256")
    .update(canonicalJson({ namespace, body: signed }))
    .digest("hex");
}

/** Request that a deploy token authorizes. */
export interface DeployTokenFacts {
  /** Workload name. */
  name: string;
  /** SHA-256 of the artifact, in lower-case hex. */
  sha256: string;
  /** Digest of the request, see `requestDigest`. */
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

/** Workload that a stop token authorizes to stop. */
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

/** Operation on a trigger that a token authorizes. */
export interface TriggerTokenFacts extends StopTokenFacts {
  trigger: string;
  action: string;
}

/** Signs a token for one operation on a trigger. */
export function signTriggerToken(facts: TriggerTokenFacts, issuer: Signer, nowMs: number): string {
  const { name, workloadId: workload_id, node, namespace, trigger, action } = facts;
  const binding = { workload_id, node, namespace, trigger, action };
  return signBound(
    { subject: name, data: { nex: { version: 1, use: "trigger", ...binding } } },
    issuer,
    nowMs,
  );
}

/** Maximum time for workloads to finish while a node shuts down. */
export const drainMsMax = 3_600_000;

/** Signs a token with which an operator shuts a node down. */
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
  // A random id, so that two requests in the same second have different tokens.
  const id = base32nopad.encode(randomBytes(20));
  return encodeClaims({ ...claims, issuedAt, expires: issuedAt + boundLifeSeconds, id }, signer);
}

/** Record of a used bound token, kept to refuse replays. */
export interface BoundToken {
  /** SHA-256 of the signed part of the token, base64url. */
  digest: string;
  /** Unix seconds; afterwards the token is refused as expired, so the record can go. */
  until: number;
  /** Public key of the issuer. */
  issuer: string;
}

/**
 * Checks the requirements common to all bound tokens. The functions below check the binding itself.
 *
 * @param token Text that `claims` were decoded from.
 * @throws NexError `token_invalid`
 */
export function checkBoundToken(token: string, claims: Claims, nowMs: number): BoundToken {
  const { iat, exp, jti } = claims;
  if (iat === undefined || exp === undefined || !jti) {
    throw new NexError("token_invalid", "the bound token must have iat, exp and jti");
  }
  if (exp - iat > boundLifeSecondsMax) {
    throw new NexError(
      "token_invalid",
      `the bound token is valid for ${exp - iat} s, at most ${boundLifeSecondsMax} s are accepted`,
    );
  }
  // A token issued in the future would stay valid longer than the maximum lifetime.
  if (iat > nowMs / 1000 + clockLeewaySeconds || !isTimely(claims, nowMs)) {
    throw new NexError(
      "token_invalid",
      `standard claims within JWT are not valid: the bound token has expired, or its issue time is more than ${clockLeewaySeconds} s in the future`,
    );
  }
  const signed = token.slice(0, token.lastIndexOf("."));
  return {
    digest: createHash("sha256").update(signed).digest("base64url"),
    until: exp + clockLeewaySeconds,
    issuer: claims.iss,
  };
}

/** Error for a token that was used before. */
export function alreadyUsed(): NexError {
  return new NexError(
    "token_already_used",
    "the token was used before; a token is valid once, so sign a new one",
  );
}

/** Request that arrived with a deploy token. */
export interface DeployTokenCheck {
  namespace: string;
  /** Body as received. */
  body: Uint8Array;
  targetNode: string | undefined;
  /** Id of the receiving node. */
  node: string;
}

/**
 * Checks that a deploy token is bound to this request.
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
 * Checks that a stop token is bound to this workload.
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
 * Checks that a token is bound to this operation on a trigger.
 *
 * @throws NexError `token_for_another`
 */
export function checkTriggerToken(claims: Claims, check: Omit<TriggerTokenFacts, "name">): void {
  checkStopToken(claims, check);
  const { nex } = claims.nats;
  if (nex?.["trigger"] !== check.trigger || nex["action"] !== check.action)
    throw forAnother("it was signed for another trigger or operation");
}

/**
 * Checks that a lame duck token is bound to this node.
 *
 * @returns time for the workloads to finish, in ms.
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
