/**
 * Admission of a DEPLOY: a pure function of the request and the node's facts. Cheap checks come first, and the signature
 * before the environment. Order and texts are those of Go Nex.
 */
import { NexError } from "@nexengine/protocol/errors";
import { parseObjectLocation } from "@nexengine/protocol/formats";
import {
  type DeployRequest,
  functionTypes,
  parseDeployExtras,
  signedDigest,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import { assertDeployNamespace, isWorkloadName, printable } from "@nexengine/protocol/subjects";
import {
  type BoundToken,
  type Claims,
  type CurveKey,
  checkDeployToken,
  isTimely,
} from "@nexengine/protocol/tokens";
import type { NamespaceRules } from "../config/namespaces.ts";
import { isJob, type WorkloadSpec } from "../workloads/spec.ts";
import { admitHealth } from "./health.ts";
import { grantLimits, grantReplicas, type LimitFacts } from "./limits.ts";
import { openSecrets } from "./open-secrets.ts";
import { admitConnections, type PerRequestConnectionFacts } from "./per-request-connections.ts";
import { asToken, type ReadToken, readToken, type TokenFacts } from "./tokens.ts";
import { admitTriggers, checkJob } from "./triggers.ts";

/** The node's facts for admission. */
export interface DeployFacts extends TokenFacts, PerRequestConnectionFacts {
  lameDuck: boolean;
  workloadCount: number;
  /** 0 is no limit. */
  workloadCountMax: number;
  /** Number of machines of all workloads. */
  machineCount: number;
  /** 0 is no limit. */
  machineCountMax: number;
  /** Rules of the request's namespace. */
  rules: NamespaceRules;
  /** Number of workloads of the namespace. */
  namespaceCount: number;
  /** Number of machines of the namespace. */
  namespaceMachineCount: number;
  /** Whether the namespace's connection is there. */
  isConnected: boolean;
  workloadTypes: readonly string[];
  inboxPrefixes: readonly string[];
  xkey: CurveKey;
  functionConcurrency: number;
  limits: LimitFacts;
  artifactBytesMax: number;
  /** A running workload that can be replaced: no other deploy replaces it. */
  replaceable(id: string): Replaceable | undefined;
}

/** A workload to be replaced, as far as admission needs it. */
export interface Replaceable {
  namespace: string;
  /** Public key of its issuer. */
  issuer: string;
  /** Number of its machines. */
  replicas: number;
}

/** A DEPLOY as it was received. */
export interface DeployArrival {
  /** Third token of the subject. */
  namespace: string;
  request: DeployRequest;
  /** The bytes from which `request` was parsed. */
  body: Uint8Array;
}

/** An admitted deploy. */
export interface AdmittedDeploy {
  spec: WorkloadSpec;
  /** The token to remember as used, in the turn of the admission; absent for a legacy one. */
  token: BoundToken | undefined;
}

/** Head of the errors about the token of a deploy. */
export const invalidDeploy = "Invalid deploy request";

/**
 * Admits a DEPLOY, or refuses it.
 *
 * @throws NexError with the code, and the text of Go Nex.
 */
export function admitDeploy(arrival: DeployArrival, facts: DeployFacts): AdmittedDeploy {
  const { namespace, request } = arrival;
  assertDeployNamespace(namespace);
  if (!facts.rules.isListed) {
    throw new NexError(
      "namespace_unlisted",
      `Cannot deploy into the namespace "${printable(namespace)}": this node does not take its workloads`,
    );
  }
  const extras = parseDeployExtras(request.nex);
  if (facts.lameDuck) {
    throw new NexError("lame_duck", "Node is in lame duck mode. Workload deploy request denied");
  }
  // The room that a replaced workload makes depends on the token, which is checked later.
  if (extras.replace === undefined) checkRoom(facts, extras.replicas ?? 1, undefined);
  const type = checkType(request, facts);
  const replicas = grantReplicas(extras.replicas ?? 1, facts.limits);
  const limits = grantLimits(extras.limits ?? {}, type, facts.limits);
  const triggers = admitTriggers(type, request.trigger_subjects ?? [], extras.triggers ?? [], facts);
  const essential = request.essential ?? false;
  if (isJob({ type, triggers })) checkJob(essential, extras, limits);
  if (essential && functionTypes.has(type)) {
    throw new NexError(
      "workload_rejected",
      "Failed to deploy workload: workload rejected by agent: essential flag is not supported for workload type",
    );
  }
  const location = parseObjectLocation(demand(request.location, "location"));
  const { claims, bound } = checkToken(arrival, facts);
  if (extras.triggers !== undefined) demandBound(bound, "nex.triggers");
  if (extras.replace !== undefined) {
    const by = { namespace, issuer: claims.iss };
    const replaced = checkReplaced(extras.replace, facts, bound !== undefined, by);
    checkRoom(facts, replicas, replaced);
  }
  const triggerSubjects = triggers.flatMap((trigger) => (trigger.type === "subject" ? trigger.subject : []));
  const health =
    extras.health && admitHealth(extras.health, { type, triggerSubjects, replicas, limits }, facts);
  const opened = openSecrets(
    {
      environment: request.environment,
      sealed: extras.sealed,
      sender: demand(request.sender_public_key, "sender_public_key"),
      bound: bound !== undefined,
      requireSealed: facts.requireBoundClaims,
    },
    { issuer: claims.iss, namespace, name: claims.sub },
    facts.xkey,
  );
  const perRequestConnections = admitConnections(request, opened, facts);
  const sha256 = signedDigest(claims.nats.hash);
  const spec: WorkloadSpec = {
    namespace,
    name: claims.sub,
    issuer: claims.iss,
    claims,
    type,
    description: request.description ?? "",
    argv: request.argv ?? [],
    environment: opened.environment,
    triggers,
    perRequestConnections: functionTypes.has(type) ? perRequestConnections : [],
    ...location,
    ...(request.jsdomain ? { jsDomain: request.jsdomain } : {}),
    ...(sha256 === undefined ? {} : { sha256 }),
    essential,
    ...(extras.restart === undefined ? {} : { restart: extras.restart }),
    ...(extras.globals === undefined ? {} : { globals: extras.globals }),
    concurrency: extras.concurrency ?? facts.functionConcurrency,
    replicas,
    limits,
    ...(health === undefined ? {} : { health }),
    artifactBytesMax: facts.artifactBytesMax,
    namespaceBytesMax: facts.rules.totalBytesMax,
    ...(extras.replace === undefined ? {} : { replaces: extras.replace }),
    request: arrival.body,
  };
  return { spec, token: bound };
}

/** @param replaced The workload that ends for this one. */
function checkRoom(facts: DeployFacts, replicas: number, replaced: Replaceable | undefined): void {
  if (!isFull(facts, replicas, replaced)) return;
  throw new NexError("workload_limit", "Node is at maximum workload limit. Deploy request denied");
}

/**
 * Whether the node, or the namespace on it, has no room for a further workload.
 *
 * @param replicas Number of its machines.
 * @param replaced The workload that ends for it.
 */
export function isFull(facts: DeployFacts, replicas = 1, replaced?: Pick<Replaceable, "replicas">): boolean {
  const exceeds = (count: number, more: number, max: number): boolean => max > 0 && count + more > max;
  const workloads = replaced === undefined ? 1 : 0;
  const machines = replicas - (replaced?.replicas ?? 0);
  const { rules } = facts;
  return (
    exceeds(facts.workloadCount, workloads, facts.workloadCountMax) ||
    exceeds(facts.namespaceCount, workloads, rules.workloadCountMax) ||
    exceeds(facts.machineCount, machines, facts.machineCountMax) ||
    exceeds(facts.namespaceMachineCount, machines, rules.machineCountMax)
  );
}

/** Whether this key may sign workloads of the namespace. */
export function mayIssue(issuer: string, { rules }: DeployFacts): boolean {
  return rules.validIssuers.length === 0 || rules.validIssuers.includes(issuer);
}

function checkType(request: DeployRequest, facts: DeployFacts): WorkloadType {
  const type = request.type ?? "";
  if (!facts.workloadTypes.includes(type)) {
    throw new NexError("unsupported_type", `Unsupported workload type on this node: ${printable(type)}`);
  }
  return type as WorkloadType;
}

/** Checks the signature first, then the issuer, then what was signed. */
function checkToken({ namespace, request, body }: DeployArrival, facts: DeployFacts): ReadToken {
  const read = readToken(demand(request.workload_jwt, "workload_jwt"), "deploy", invalidDeploy, facts);
  const { claims, bound } = read;
  checkName(claims);
  if (bound === undefined && !isTimely(claims, facts.nowMs)) {
    throw new NexError("token_invalid", `${invalidDeploy}: standard claims within JWT are not valid`);
  }
  if (!mayIssue(claims.iss, facts)) {
    throw new NexError("issuer_not_allowed", `invalid workload issuer: ${claims.iss}`);
  }
  if (bound !== undefined) {
    const check = { namespace, body, targetNode: request.target_node, node: facts.nodeId };
    asToken(invalidDeploy, () => checkDeployToken(claims, check));
  }
  return read;
}

/** The error says nothing about another issuer's workload, not even that it exists. */
function checkReplaced(
  id: string,
  facts: DeployFacts,
  bound: boolean,
  by: Pick<Replaceable, "namespace" | "issuer">,
): Replaceable {
  const replaced = facts.replaceable(id);
  if (bound && replaced?.issuer === by.issuer && replaced.namespace === by.namespace) return replaced;
  throw new NexError(
    "replace_refused",
    `Cannot replace ${printable(id)}: ${
      bound
        ? "no workload of this id, issuer and namespace runs here, or another deploy replaces it"
        : "that takes a token that is bound to its request"
    }`,
  );
}

function demandBound(bound: BoundToken | undefined, what: string): void {
  if (bound !== undefined) return;
  throw new NexError(
    "token_unbound",
    `Cannot accept the request: ${what} takes a token that is bound to its request`,
  );
}

function checkName({ sub }: Claims): void {
  if (isWorkloadName(sub)) return;
  throw new NexError(
    "name_invalid",
    `${invalidDeploy}: workload name claim ('${printable(sub)}') does not match requirements (^[a-zA-Z0-9_-]+$)`,
  );
}

function demand<T>(value: T | undefined, name: string): T {
  if (value !== undefined && value !== "") return value;
  throw new NexError("field_missing", `${invalidDeploy}: ${name} is missing`);
}
