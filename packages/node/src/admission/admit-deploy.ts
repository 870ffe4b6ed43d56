/**
 * Admission of a DEPLOY: a pure function of the request and the node's facts. Cheap checks first, the signature before
 * the environment is opened. Order and texts are the reference's.
 */
import {
  alwaysDeniedTrigger,
  assertDeployNamespace,
  type Claims,
  type CurveKey,
  type DeployRequest,
  decodeClaims,
  deniedTriggerSubjects,
  errorText,
  functionTypes,
  isSubscribableSubject,
  isTimely,
  isWorkloadName,
  NexError,
  openEnvironment,
  overlapping,
  parseDeployExtras,
  parseObjectLocation,
  printable,
  signedDigest,
  tokenUse,
  type WorkloadType,
} from "@nexengine/protocol/internal";
import type { WorkloadSpec } from "../workloads/spec.ts";
import { grantLimits, type LimitFacts } from "./limits.ts";

/** What admission knows of the node. */
export interface DeployFacts {
  lameDuck: boolean;
  workloadCount: number;
  /** 0 is no limit. */
  workloadCountMax: number;
  workloadTypes: readonly string[];
  denyTriggerSubjects: readonly string[];
  inboxPrefixes: readonly string[];
  validIssuers: readonly string[];
  xkey: CurveKey;
  functionConcurrency: number;
  limits: LimitFacts;
  artifactBytesMax: number;
  nowMs: number;
}

/**
 * Admits a DEPLOY, or refuses it.
 *
 * @param namespace The subject's third token.
 * @throws NexError with the code and the reference's text.
 */
export function admitDeploy(namespace: string, request: DeployRequest, facts: DeployFacts): WorkloadSpec {
  assertDeployNamespace(namespace);
  checkRoom(facts);
  const type = checkType(request, facts);
  const extras = parseDeployExtras(request.nex);
  const limits = grantLimits(extras.limits ?? {}, type, facts.limits);
  refuseConnections(request);
  const triggerSubjects = checkTriggers(type, request.trigger_subjects ?? [], facts);
  const essential = request.essential ?? false;
  if (essential && functionTypes.has(type)) {
    throw new NexError(
      "workload_rejected",
      "Failed to deploy workload: workload rejected by agent: essential flag is not supported for workload type",
    );
  }
  const location = parseObjectLocation(demand(request.location, "location"));
  const claims = checkToken(demand(request.workload_jwt, "workload_jwt"), facts);
  const sealed = demand(request.environment, "environment");
  const environment = openEnvironment(
    sealed,
    facts.xkey,
    demand(request.sender_public_key, "sender_public_key"),
  );
  const sha256 = signedDigest(claims.nats.hash);
  return {
    namespace,
    name: claims.sub,
    issuer: claims.iss,
    claims,
    type,
    description: request.description ?? "",
    argv: request.argv ?? [],
    environment,
    triggerSubjects,
    ...location,
    ...(request.jsdomain ? { jsDomain: request.jsdomain } : {}),
    ...(sha256 === undefined ? {} : { sha256 }),
    essential,
    ...(extras.globals === undefined ? {} : { globals: extras.globals }),
    concurrency: extras.concurrency ?? facts.functionConcurrency,
    limits,
  };
}

function checkRoom(facts: DeployFacts): void {
  if (facts.lameDuck) {
    throw new NexError("lame_duck", "Node is in lame duck mode. Workload deploy request denied");
  }
  if (facts.workloadCountMax > 0 && facts.workloadCount >= facts.workloadCountMax) {
    throw new NexError("workload_limit", "Node is at maximum workload limit. Deploy request denied");
  }
}

function checkType(request: DeployRequest, facts: DeployFacts): WorkloadType {
  const type = request.type ?? "";
  if (!facts.workloadTypes.includes(type)) {
    throw new NexError("unsupported_type", `Unsupported workload type on this node: ${printable(type)}`);
  }
  return type as WorkloadType;
}

/** Connections of a request's own come with the host services; until then nobody may rely on them. */
function refuseConnections(request: DeployRequest): void {
  for (const name of ["trigger_connection", "host_services"] as const) {
    if (request[name]?.nats_url) {
      throw new NexError("feature_missing", `Cannot accept the request: this node does not act on ${name}`);
    }
  }
}

function checkTriggers(type: WorkloadType, subjects: string[], facts: DeployFacts): string[] {
  if (!functionTypes.has(type)) {
    if (subjects.length === 0) return [];
    throw new NexError(
      "triggers_not_supported",
      `Unsupported workload type for trigger subject registration: ${type}`,
    );
  }
  for (const subject of subjects) checkTrigger(subject, facts);
  if (subjects.length === 0) {
    throw new NexError(
      "triggers_required",
      "Failed to deploy workload: workload rejected by agent: at least one trigger subject is required for this workload type",
    );
  }
  return [...new Set(subjects)];
}

function checkTrigger(subject: string, facts: DeployFacts): void {
  if (!isSubscribableSubject(subject)) {
    throw new NexError("trigger_invalid", `The trigger subject ${printable(subject)} is not a NATS subject`);
  }
  const listed = overlapping(subject, [...deniedTriggerSubjects, ...facts.denyTriggerSubjects]);
  const always = alwaysDeniedTrigger(subject, facts.inboxPrefixes);
  const denied = always === undefined || listed.length > 0 ? listed : [always];
  if (denied.length > 0) {
    throw new NexError(
      "trigger_denied",
      `The trigger subject ${subject} overlaps with subject(s) in this node's deny list: ${denied.slice(0, 4).join(", ")}`,
    );
  }
}

function checkToken(token: string, facts: DeployFacts): Claims {
  const claims = decode(token);
  const use = tokenUse(claims);
  if (use !== undefined && use !== "deploy") {
    throw new NexError("token_wrong_use", `Invalid deploy request: the token is one for ${use}`);
  }
  if (!isWorkloadName(claims.sub)) {
    throw new NexError(
      "name_invalid",
      `Invalid deploy request: workload name claim ('${printable(claims.sub)}') does not match requirements (^[a-zA-Z0-9_-]+$)`,
    );
  }
  if (!isTimely(claims, facts.nowMs)) {
    throw new NexError("token_invalid", "Invalid deploy request: standard claims within JWT are not valid");
  }
  if (facts.validIssuers.length > 0 && !facts.validIssuers.includes(claims.iss)) {
    throw new NexError("issuer_not_allowed", `invalid workload issuer: ${claims.iss}`);
  }
  return claims;
}

function decode(token: string): Claims {
  try {
    return decodeClaims(token);
  } catch (cause) {
    throw new NexError("token_invalid", `Invalid deploy request: ${errorText(cause)}`, { cause });
  }
}

function demand<T>(value: T | undefined, name: string): T {
  if (value !== undefined && value !== "") return value;
  throw new NexError("field_missing", `Invalid deploy request: ${name} is missing`);
}
