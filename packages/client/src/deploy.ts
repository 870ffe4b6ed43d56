/** A deploy, from the checks on this side to the node's answer. */
import type { Globals } from "@nexengine/protocol/agent";
import { NexError } from "@nexengine/protocol/errors";
import { objectLocation } from "@nexengine/protocol/formats";
import {
  concurrencyMax,
  type Feature,
  functionTypes,
  type Health,
  type Limits,
  type NodeExtras,
  type Published,
  type Restart,
  type RunResponse,
  replicasMax,
  runResponseSchema,
  type Tags,
  type TriggerRequest,
  triggerFeatures,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import {
  assertDeployNamespace,
  deploySubject,
  isWorkloadName,
  printable,
  workloadNameBytesMax,
} from "@nexengine/protocol/subjects";
import {
  type CurveKey,
  type Environment,
  type SealedConnections,
  type Signer,
  sealEnvironment,
  sealRequest,
} from "@nexengine/protocol/tokens";
import { type Artifact, artifactSize, checkNative, isStored } from "./artifact.ts";
import { chooseNode } from "./choose-node.ts";
import { checkEnvironment } from "./environment.ts";
import { encodeHealth, type HealthCheck, startTimeMs } from "./health.ts";
import { encodeLimits, type WorkloadLimits } from "./limits.ts";
import { trustNeeded } from "./needs.ts";
import { sealedConnections, type WorkloadConnection } from "./per-request-connections.ts";
import { askNode } from "./requests.ts";
import type { Session } from "./session.ts";
import { deployToken, hasFeature, knowsBoundTokens } from "./tokens.ts";
import { checkDeployTriggers } from "./triggers.ts";
import { digestOf, upload } from "./upload.ts";

/** A node has so long to answer a deploy: it reads the artifact and starts the workload before it does. */
const deployTimeoutMsDefault = 30_000;

const bytesPerMebibyte = 1_048_576;
/** The disk that is advised for an artifact leaves room for what its workload writes. */
const diskShareOfArtifact = 1.25;

/** Options of a deploy. */
export interface DeployOptions {
  /** The node's id; an auction chooses one when absent. */
  node?: string;
  /** `[a-zA-Z0-9_-]+` */
  name: string;
  /** `native` when absent. */
  type?: WorkloadType;
  artifact: Artifact;
  /** Bucket of an upload; the command line's when absent. */
  bucket?: string;
  /** Key of an upload in its bucket; one of the namespace's and name's own when absent. */
  key?: string;
  bucketBytesMax?: number;
  /** Signs; only it can stop the workload later. */
  issuer: Signer;
  /** Seals the environment. */
  publisher: CurveKey;
  environment?: Environment;
  argv?: readonly string[];
  description?: string;
  /** Restart it when it fails; of services. */
  essential?: boolean;
  /** Subjects that invoke a function; a function needs one of these or of `triggers`. */
  triggerSubjects?: readonly string[];
  /** Triggers of every kind: streams, keys, objects, schedules and routes. Nodes of Go Nex do not know them. */
  triggers?: readonly TriggerRequest[];
  /**
   * Where the function's triggers are subscribed, instead of where its namespace has them. It goes sealed, and only to
   * nodes that know how.
   */
  triggerConnection?: WorkloadConnection;
  /** The connection that the function's host services use instead of its namespace's; it is sealed too. */
  hostServices?: WorkloadConnection;
  jsDomain?: string;
  globals?: Globals;
  concurrency?: number;
  /** When a machine that has ended is replaced; wins over `essential`. */
  restart?: Restart;
  /** Machines of the workload on its node; 1 when absent. Calls of a function go to the one that has the fewest. */
  replicas?: number;
  limits?: WorkloadLimits;
  /**
   * How its node finds out whether it does its work. The deploy is answered once the first check has passed, and refused
   * with `workload_not_ready` when none passes in time; nothing of it is left then.
   */
  health?: HealthCheck;
  /**
   * Workloads of this issuer that this one takes the place of. One that is on the chosen node ends as soon as this one
   * takes calls, and `replaced` of the deployment names it; the others are the caller's to stop.
   */
  replaces?: readonly WorkloadAt[] | Promise<readonly WorkloadAt[]>;
  /** Tags that the node must have. */
  tags?: Tags;
  /** Timeout for the node's answer; 30,000 when absent, and the start time of a health check. */
  timeoutMs?: number;
  onProgress?: (sentBytes: number, totalBytes: number) => void;
}

/** Where a workload is. */
export interface WorkloadAt {
  id: string;
  nodeId: string;
}

/** A workload that was started. */
export interface Deployment {
  id: string;
  name: string;
  namespace: string;
  nodeId: string;
  nodeName: string;
  issuer: string;
  /** Digest of the artifact, in lower-case hex. */
  sha256: string;
  /** Where published ports are reached. */
  published: Published[];
  /** Id of the workload that has ended for this one. */
  replaced?: string;
}

/** See `NexClient.deploy`. */
export async function deploy(session: Session, options: DeployOptions): Promise<Deployment> {
  const { namespace } = session;
  const type = options.type ?? "native";
  const arch = checkRequest(namespace, type, options);
  const limits = encodeLimits(options.limits);
  const health = options.health && encodeHealth(options.health, type, options);
  const { name, node: named, tags } = options;
  const connections = sealedConnections(options, functionTypes.has(type));
  const perRequestConnections = Object.keys(connections).length > 0;
  const node = await chooseNode(session, {
    name,
    node: named,
    type,
    arch,
    tags,
    features: [...required(options, limits), ...trustNeeded(session, perRequestConnections)],
    perRequestConnections,
    limits,
    issuer: options.issuer.publicKey,
    artifactBytes: isStored(options.artifact) ? undefined : artifactSize(options.artifact),
  });
  checkArtifactFits(type, options, node.info.nex);
  const bound = knowsBoundTokens(node.info.nex);
  const sealing = bound && hasFeature(node.info.nex, "sealed-request");
  // Sealing can refuse, so it comes before anything is uploaded.
  const { environment, sealed } = seal(
    session,
    options,
    node.info.public_xkey,
    sealing ? connections : undefined,
  );
  if (!bound) session.onFallback?.({ action: "deploy", name, nodeId: node.id });
  const stored = await storeArtifact(session, options);
  const send = (replace?: string): Promise<RunResponse> => {
    const request = {
      ...(options.argv?.length ? { argv: options.argv } : {}),
      description: options.description ?? "",
      type,
      location: objectLocation(stored.bucket, stored.key),
      essential: options.essential ?? false,
      environment,
      jsdomain: options.jsDomain ?? "",
      sender_public_key: options.publisher.publicKey,
      target_node: node.id,
      ...(options.triggerSubjects?.length ? { trigger_subjects: options.triggerSubjects } : {}),
      ...extras(
        options,
        { limits, health },
        {
          requires: (["bound-claims", "sealed-request"] as const).filter((_, at) => [bound, sealing][at]),
          sealed,
          replace,
        },
      ),
    };
    const { sha256 } = stored;
    const token = deployToken({ namespace, name, sha256, request, issuer: options.issuer, bound });
    const body = JSON.stringify({ ...request, workload_jwt: token });
    return askNode(session, deploySubject(namespace, node.id), body, runResponseSchema, {
      action: `Cannot deploy "${options.name}"`,
      nodeId: node.id,
      timeoutMs: options.timeoutMs ?? deployTimeoutMsDefault + startTimeMs(health),
      whenSilent: "The workload may have started all the same; see with: nex ps",
    });
  };
  const previous = bound && hasFeature(node.info.nex, "replace") ? await options.replaces : undefined;
  const { run, replaced } = await replacing(previous?.find(({ nodeId }) => nodeId === node.id)?.id, send);
  return {
    id: run.id,
    name: run.name || options.name,
    namespace,
    nodeId: node.id,
    nodeName: node.info.tags?.["node_name"] ?? "no-name",
    issuer: options.issuer.publicKey,
    sha256: stored.sha256,
    published: run.nex?.published ?? [],
    ...(replaced === undefined ? {} : { replaced }),
  };
}

/** Refuses before the upload what the node or the machine would refuse after it. */
function checkArtifactFits(
  type: WorkloadType,
  { name, artifact, limits }: DeployOptions,
  node: NodeExtras | undefined,
): void {
  if (isStored(artifact)) return;
  const bytes = artifactSize(artifact);
  const refuse = (what: string, most: number, advice: string): NexError =>
    new NexError(
      "artifact_too_large",
      `Cannot deploy "${name}": its artifact has ${bytes} bytes, ${what} ${most}`,
      { advice },
    );
  const nodeMax = node?.artifact_bytes_max;
  if (nodeMax !== undefined && bytes > nodeMax) {
    throw refuse(
      "the node accepts at most",
      nodeMax,
      "Make it smaller, e.g. with: strip, or ask whoever runs the node",
    );
  }
  // A source is never written in its machine.
  const diskBytes = type === "native" ? (limits?.diskBytes ?? node?.disk_bytes_default) : undefined;
  if (node?.disk_bytes_default === undefined || diskBytes === undefined || bytes <= diskBytes) return;
  const enough = Math.ceil((bytes * diskShareOfArtifact) / bytesPerMebibyte);
  throw refuse(
    "its machine's disk",
    diskBytes,
    `Ask for a larger disk: --disk ${enough}MiB, or limits.diskBytes in a program`,
  );
}

/** A workload that may not be replaced, or that has ended meanwhile, keeps no new one from starting. */
async function replacing(
  replaced: string | undefined,
  send: (replace?: string) => Promise<RunResponse>,
): Promise<{ run: RunResponse; replaced?: string }> {
  if (replaced === undefined) return { run: await send() };
  try {
    return { run: await send(replaced), replaced };
  } catch (error) {
    if (!(error instanceof NexError) || error.code !== "replace_refused") throw error;
    return { run: await send() };
  }
}

/** @returns the processor that the artifact needs, where it needs one. */
function checkRequest(namespace: string, type: WorkloadType, options: DeployOptions): string | undefined {
  assertDeployNamespace(namespace);
  if (!isWorkloadName(options.name)) {
    throw new NexError(
      "name_invalid",
      options.name.length > workloadNameBytesMax
        ? `Cannot deploy "${printable(options.name)}": its name has ${options.name.length} characters, at most ${workloadNameBytesMax} are accepted`
        : `Cannot deploy "${printable(options.name)}": a name may have letters, digits, "-" and "_" only`,
    );
  }
  checkCount(options, "replicas", replicasMax);
  checkCount(options, "concurrency", concurrencyMax);
  checkDeployTriggers(type, options);
  checkEnvironment(options.name, options.environment ?? {});
  if (isStored(options.artifact)) return undefined;
  artifactSize(options.artifact);
  return type === "native" ? checkNative(options.artifact) : undefined;
}

function checkCount(options: DeployOptions, what: "replicas" | "concurrency", most: number): void {
  const count = options[what];
  if (count === undefined || (Number.isInteger(count) && count >= 1 && count <= most)) return;
  throw new NexError(
    "usage",
    `Cannot deploy "${options.name}": ${what} is ${count}, and must be from 1 to ${most}`,
  );
}

function required(options: DeployOptions, limits: Limits | undefined): string[] {
  const named = (["globals", "concurrency", "replicas", "restart", "health"] as const).filter(
    (name) => options[name] !== undefined,
  );
  const all = [...named, ...triggerFeatures(options.triggers ?? [])];
  return limits === undefined ? all : [...all, "limits"];
}

/**
 * Seals the environment for this deploy alone, where the node knows that, and for the node alone where not.
 *
 * @param connections What is sealed beside it; absent where the node does not know that.
 */
function seal(
  { namespace }: Session,
  { name, issuer, environment = {}, publisher }: DeployOptions,
  xkey: string,
  connections: SealedConnections | undefined,
): { environment: string; sealed?: string } {
  if (connections === undefined) return { environment: sealEnvironment(environment, publisher, xkey) };
  return sealRequest(
    { issuer: issuer.publicKey, namespace, name },
    environment,
    publisher,
    xkey,
    connections,
  );
}

/** @param trust What makes the request trustworthy, where the node has the features for it. */
function extras(
  options: DeployOptions,
  { limits, health }: { limits: Limits | undefined; health: Health | undefined },
  trust: { requires: readonly Feature[]; sealed: string | undefined; replace: string | undefined },
): object {
  const { sealed, replace } = trust;
  const requires = [
    ...trust.requires,
    ...(replace === undefined ? [] : ["replace"]),
    ...required(options, limits),
  ];
  if (requires.length === 0) return {};
  const { globals, concurrency, replicas, restart, triggers = [] } = options;
  return {
    nex: {
      version: 1,
      requires,
      ...(globals === undefined ? {} : { globals }),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(replicas === undefined ? {} : { replicas }),
      ...(restart === undefined ? {} : { restart }),
      ...(limits === undefined ? {} : { limits }),
      ...(health === undefined ? {} : { health }),
      ...(triggers.length === 0 ? {} : { triggers }),
      ...(sealed === undefined ? {} : { sealed }),
      ...(replace === undefined ? {} : { replace }),
    },
  };
}

async function storeArtifact(
  { connection, namespace }: Session,
  options: DeployOptions,
): Promise<{ bucket: string; key: string; sha256: string }> {
  const { artifact } = options;
  if (isStored(artifact)) {
    const { bucket, key } = artifact;
    return {
      bucket,
      key,
      sha256: artifact.sha256 ?? (await digestOf(connection, artifact, options.jsDomain)),
    };
  }
  return upload(connection, artifact, {
    key: options.key ?? artifactKey(namespace, options.name),
    ...(options.bucket === undefined ? {} : { bucket: options.bucket }),
    ...(options.bucketBytesMax === undefined ? {} : { bucketBytesMax: options.bucketBytesMax }),
    ...(options.jsDomain === undefined ? {} : { jsDomain: options.jsDomain }),
    onProgress: options.onProgress,
  });
}

/**
 * The key of an upload: one for each namespace and name, which the next deploy of that name overwrites. Neither part
 * holds a `/` once it is encoded, so that no two pairs have one key.
 */
export function artifactKey(namespace: string, name: string): string {
  return `${encodeURIComponent(namespace)}/${name}`;
}
