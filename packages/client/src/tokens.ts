/** Tokens of a deploy and a stop: bound to their request where the node knows such, Go Nex's where not. */
import type { Feature, NodeExtras } from "@nexengine/protocol/messages";
import {
  boundLifeSecondsMax,
  encodeClaims,
  requestDigest,
  type Signer,
  type StopTokenFacts,
  signDeployToken,
  signStopToken,
} from "@nexengine/protocol/tokens";

export function hasFeature(extras: NodeExtras | undefined, feature: Feature): boolean {
  return extras?.features?.includes(feature) === true;
}

/** Does this node know tokens that are bound to their requests? */
export function knowsBoundTokens(extras: NodeExtras | undefined): boolean {
  return hasFeature(extras, "bound-claims");
}

/** The parts of a deploy token. */
export interface DeployTokenParts {
  namespace: string;
  name: string;
  sha256: string;
  /** The request's body without the token. */
  request: object;
  issuer: Signer;
  bound: boolean;
}

/** Signs a deploy. A token serves once, so whoever tries again signs again. */
export function deployToken({ namespace, name, sha256, request, issuer, bound }: DeployTokenParts): string {
  if (!bound) return legacyToken(name, nowSeconds(), issuer, { hash: sha256 });
  const digest = requestDigest(namespace, JSON.stringify(request));
  return signDeployToken({ name, sha256, request: digest }, issuer, Date.now());
}

/** Signs a stop for a node that knows bound tokens. */
export function boundStopToken(facts: StopTokenFacts, issuer: Signer): string {
  return signStopToken(facts, issuer, Date.now());
}

/** Signs a stop for a node of Go Nex: it says no more than a name. */
export function legacyStopToken(name: string, issuer: Signer, issuedAt: number): string {
  return legacyToken(name, issuedAt, issuer);
}

/** Go nodes don't look at the expiry; a node of ours that takes legacy tokens does. */
function legacyToken(subject: string, issuedAt: number, issuer: Signer, data?: { hash: string }): string {
  const expires = issuedAt + boundLifeSecondsMax;
  return encodeClaims({ subject, issuedAt, expires, ...(data === undefined ? {} : { data }) }, issuer);
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
