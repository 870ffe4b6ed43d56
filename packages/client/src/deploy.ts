/** A deploy, from the checks on this side to the node's answer. */

import type { NatsConnection } from "@nats-io/nats-core";
import {
  type AuctionRequest,
  assertDeployNamespace,
  auctionSubject,
  type CurveKey,
  checkXkeyProof,
  deploySubject,
  type Environment,
  encodeClaims,
  functionTypes,
  type Globals,
  type InfoResponse,
  infoResponseSchema,
  infoSubject,
  isSubscribableSubject,
  isWorkloadName,
  NexError,
  objectLocation,
  type PingResponse,
  pingResponseSchema,
  pingSubject,
  runResponseSchema,
  type Signer,
  sealEnvironment,
  type Tags,
  type WorkloadType,
} from "@nexengine/protocol/internal";
import { type Artifact, artifactSize, checkNative, isStored } from "./artifact.ts";
import { askAll, askNode, requestTimeoutMs } from "./requests.ts";
import { digestOf, upload } from "./upload.ts";

/** A node has so long to answer a deploy: it reads the artifact and starts the workload before it does. */
const deployTimeoutMsDefault = 30_000;

/** What to deploy, and how. */
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
  /** Of functions: at least one. */
  triggerSubjects?: readonly string[];
  jsDomain?: string;
  globals?: Globals;
  concurrency?: number;
  /** Tags that the node must have. */
  tags?: Tags;
  timeoutMs?: number;
  onProgress?: (sentBytes: number, totalBytes: number) => void;
}

/** A workload that was started. */
export interface Deployment {
  id: string;
  name: string;
  namespace: string;
  nodeId: string;
  nodeName: string;
  issuer: string;
  /** Of the artifact, lower-case hex. */
  sha256: string;
}

/** See `NexClient.deploy`. */
export async function deploy(
  connection: NatsConnection,
  namespace: string,
  options: DeployOptions,
): Promise<Deployment> {
  const type = options.type ?? "native";
  const arch = checkRequest(namespace, type, options);
  const node = await chooseNode(connection, namespace, type, arch, options);
  checkFeatures(node.info, options);
  const stored = await storeArtifact(connection, namespace, options);
  const body = JSON.stringify({
    ...(options.argv?.length ? { argv: options.argv } : {}),
    description: options.description ?? "",
    type,
    location: objectLocation(stored.bucket, stored.key),
    essential: options.essential ?? false,
    workload_jwt: encodeClaims(
      { subject: options.name, issuedAt: Math.floor(Date.now() / 1000), data: { hash: stored.sha256 } },
      options.issuer,
    ),
    environment: sealEnvironment(options.environment ?? {}, options.publisher, node.info.public_xkey),
    jsdomain: options.jsDomain ?? "",
    sender_public_key: options.publisher.publicKey,
    target_node: node.id,
    ...(options.triggerSubjects?.length ? { trigger_subjects: options.triggerSubjects } : {}),
    ...extras(options),
  });
  const run = await askNode(connection, deploySubject(namespace, node.id), body, runResponseSchema, {
    action: `Cannot deploy "${options.name}"`,
    nodeId: node.id,
    timeoutMs: options.timeoutMs ?? deployTimeoutMsDefault,
    whenSilent: "The workload may have started all the same; see with: nex ps",
  });
  return {
    id: run.id,
    name: run.name || options.name,
    namespace,
    nodeId: node.id,
    nodeName: node.info.tags?.["node_name"] ?? "no-name",
    issuer: options.issuer.publicKey,
    sha256: stored.sha256,
  };
}

/** @returns the processor that the artifact needs, where it needs one. */
function checkRequest(namespace: string, type: WorkloadType, options: DeployOptions): string | undefined {
  assertDeployNamespace(namespace);
  if (!isWorkloadName(options.name)) {
    throw new NexError(
      "name_invalid",
      `Cannot deploy "${options.name}": a name may have letters, digits, "-" and "_" only`,
    );
  }
  const subjects = options.triggerSubjects ?? [];
  if (functionTypes.has(type) && subjects.length === 0) {
    throw new NexError(
      "triggers_required",
      `Cannot deploy "${options.name}": a function needs at least one trigger subject`,
    );
  }
  if (!functionTypes.has(type) && subjects.length > 0) {
    throw new NexError(
      "triggers_not_supported",
      `Cannot deploy "${options.name}": only functions have triggers`,
    );
  }
  const bad = subjects.find((subject) => !isSubscribableSubject(subject));
  if (bad !== undefined) {
    throw new NexError("trigger_invalid", `Cannot deploy "${options.name}": "${bad}" is not a NATS subject`);
  }
  if (isStored(options.artifact)) return undefined;
  artifactSize(options.artifact);
  return type === "native" ? checkNative(options.artifact) : undefined;
}

interface ChosenNode {
  id: string;
  info: InfoResponse;
}

async function chooseNode(
  connection: NatsConnection,
  namespace: string,
  type: WorkloadType,
  arch: string | undefined,
  options: DeployOptions,
): Promise<ChosenNode> {
  const bid = options.node === undefined ? await auction(connection, type, arch, options) : undefined;
  const id = options.node ?? bid?.node_id ?? "";
  const info = await askNode(connection, infoSubject(namespace, id), "", infoResponseSchema, {
    action: `Cannot deploy "${options.name}"`,
    nodeId: id,
    timeoutMs: requestTimeoutMs,
  });
  checkXkey(id, info, bid);
  return { id, info };
}

/** Nobody seals a secret for a key that may not be the node's. */
function checkXkey(id: string, info: InfoResponse, bid: PingResponse | undefined): void {
  if (bid !== undefined && bid.target_xkey !== info.public_xkey) {
    throw new NexError(
      "xkey_proof_invalid",
      `Cannot trust the xkey of node ${id}: its bid and its info name two`,
      {
        ids: { node: id },
        advice: "Whoever answered may not be that node; nothing was sealed or sent",
      },
    );
  }
  // The reference's nodes have no proof; ours always do.
  if (info.nex !== undefined) checkXkeyProof(info.nex.xkey_proof ?? "", id, info.public_xkey, Date.now());
}

async function auction(
  connection: NatsConnection,
  type: WorkloadType,
  arch: string | undefined,
  options: DeployOptions,
): Promise<PingResponse> {
  const request: AuctionRequest = {
    ...(arch === undefined ? {} : { arch, os: "linux" }),
    ...(options.tags === undefined ? {} : { tags: options.tags }),
    workload_types: [type],
  };
  // Asked at the same time who is there at all: once they have answered, a bid that has not come will not.
  const pings = askAll(connection, pingSubject, "", pingResponseSchema);
  pings.catch(() => undefined);
  const body = JSON.stringify(request);
  const bids = await askAll(connection, auctionSubject, body, pingResponseSchema, { stallAfter: pings });
  const chosen = bids[Math.floor(Math.random() * bids.length)];
  if (chosen !== undefined) return chosen;
  const there = await pings;
  const tags = Object.entries(options.tags ?? {}).map(([name, value]) => `tag ${name}=${value}`);
  const asked = [`type ${type}`, ...(arch === undefined ? [] : [`linux/${arch}`]), ...tags].join(", ");
  if (there.length === 0) {
    throw new NexError("no_node", `Cannot deploy "${options.name}": there is no node in this nexus`, {
      advice: "Start one with: nex node up, or start everything with: nex up",
    });
  }
  const nodes =
    there.length === 1 ? "the one node there is does not" : `none of the ${there.length} nodes does`;
  throw new NexError("no_node", `No node accepts "${options.name}": asked for ${asked}, ${nodes}`, {
    advice: "See what the nodes offer with: nex node ls --full",
  });
}

/** No silent downgrade: what a deploy relies on, its node must know. */
function checkFeatures(info: InfoResponse, options: DeployOptions): void {
  const missing = required(options).find((feature) => !info.nex?.features?.includes(feature));
  if (missing === undefined) return;
  throw new NexError(
    "feature_missing",
    `Cannot deploy "${options.name}": the node does not know ${missing}`,
    {
      advice: "Nothing was sent; choose another node, or leave the option away",
    },
  );
}

function required(options: DeployOptions): string[] {
  return (["globals", "concurrency"] as const).filter((name) => options[name] !== undefined);
}

function extras(options: DeployOptions): object {
  const requires = required(options);
  if (requires.length === 0) return {};
  const { globals, concurrency } = options;
  return {
    nex: {
      version: 1,
      requires,
      ...(globals === undefined ? {} : { globals }),
      ...(concurrency === undefined ? {} : { concurrency }),
    },
  };
}

async function storeArtifact(
  connection: NatsConnection,
  namespace: string,
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
  // One key for each namespace and name: encoded, neither holds a "/", so no two collide.
  return upload(connection, artifact, {
    key: `${encodeURIComponent(namespace)}/${options.name}`,
    ...(options.bucket === undefined ? {} : { bucket: options.bucket }),
    ...(options.bucketBytesMax === undefined ? {} : { bucketBytesMax: options.bucketBytesMax }),
    ...(options.jsDomain === undefined ? {} : { jsDomain: options.jsDomain }),
    onProgress: options.onProgress,
  });
}
