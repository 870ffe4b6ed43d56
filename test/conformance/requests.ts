/** The requests of Go Nex's client, made by hand, and workloads that they start. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { type GoUrl, objectLocation } from "@nexengine/protocol/formats";
import { placeholderHash } from "@nexengine/protocol/messages";
import { deploySubject, infoSubject, pingNodeSubject, stopSubject } from "@nexengine/protocol/subjects";
import { encodeClaims, sealEnvironment } from "@nexengine/protocol/tokens";
import { probeService } from "@nexengine/testing";
import { z } from "zod";
import { ask, type Envelope } from "../support/ask.ts";
import type { Target } from "./target.ts";

const hearTimeoutMs = 20_000;
const tags = z.record(z.string(), z.string());

/** The answer to PING and a bid, with the members that must be there. */
export const pingSchema = z.looseObject({
  node_id: z.string(),
  nexus: z.string().min(1).optional(),
  version: z.string().min(1),
  uptime: z.string(),
  target_xkey: z.string(),
  tags: tags.optional(),
  running_machines: z.number().int().min(0),
});

const machineSchema = z.looseObject({
  id: z.string(),
  healthy: z.boolean(),
  uptime: z.string(),
  namespace: z.string().min(1).optional(),
  workload: z.looseObject({
    name: z.string(),
    description: z.string().min(1).optional(),
    runtime: z.string(),
    type: z.string(),
    hash: z.string(),
  }),
});

/** The answer to INFO. */
export const infoSchema = z.looseObject({
  version: z.string().min(1),
  uptime: z.string(),
  public_xkey: z.string(),
  tags: tags.optional(),
  memory: z
    .looseObject({ total: z.number().int(), free: z.number().int(), available: z.number().int() })
    .optional(),
  machines: z.array(machineSchema),
  supported_workload_types: z.array(z.string()).optional(),
});

/** The answer to WPING. */
export const workloadPingSchema = z.looseObject({
  node_id: z.string(),
  target_xkey: z.string(),
  version: z.string().min(1),
  tags: tags.optional(),
  uptime: z.string(),
  running_machines: z.array(
    z.strictObject({ id: z.string(), namespace: z.string(), name: z.string(), type: z.string() }),
  ),
});

const runSchema = z.looseObject({
  started: z.literal(true),
  id: z.string(),
  issuer: z.string(),
  name: z.string(),
});

/** Whole seconds: `7s`, `1m0s`, `2h0m5s`, `3d0h0m1s`, `1y2d3h4m5s`. */
export const uptimePattern =
  /^(?!0[mhdy])(?:(?:(?:(?:(?:0|[1-9]\d*)y)?(?:0|[1-9]\d*)d)?(?:0|[1-9]\d*)h)?(?:0|[1-9]\d*)m)?(?:0|[1-9]\d*)s$/;

export const ping = async (target: Target): Promise<z.infer<typeof pingSchema>> =>
  pingSchema.parse((await ask(target, pingNodeSubject(target.nodeId))).data);

export async function info(
  target: Target,
  namespace = target.namespace,
  body: Uint8Array | string = "",
): Promise<z.infer<typeof infoSchema>> {
  return infoSchema.parse((await ask(target, infoSubject(namespace, target.nodeId), body)).data);
}

/** A legacy token, as Go Nex's client signs it. */
export function legacyToken(
  { issuer }: Target,
  name: string,
  data: Readonly<Record<string, unknown>> = { hash: placeholderHash },
  more: { issuedAt?: number; expires?: number } = {},
): string {
  return encodeClaims({ subject: name, issuedAt: nowSeconds(), data, ...more }, issuer);
}

export const nowSeconds = (): number => Math.floor(Date.now() / 1000);

/** Sends a DEPLOY, whole or not. */
export function sendDeploy(
  target: Target,
  body: object | string,
  namespace = target.namespace,
): Promise<Envelope> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return ask(target, deploySubject(namespace, target.nodeId), text);
}

/** Sends a STOP with a token of the target's issuer, or with other members. */
export function sendStop(
  target: Target,
  { id, name }: { id: string; name: string },
  members: object = {},
  namespace = target.namespace,
): Promise<Envelope> {
  const body = {
    workload_id: id,
    workload_jwt: legacyToken(target, name, {}),
    target_node: target.nodeId,
    ...members,
  };
  return ask(target, stopSubject(namespace, target.nodeId), JSON.stringify(body));
}

/** The parts of a deploy. */
export interface DeploySpec {
  name: string;
  type: "native" | "v8";
  location: GoUrl;
}

/** A DEPLOY as Go Nex's client sends it: every member that it always has. */
export function deployBody(
  target: Target,
  { name, type, location }: DeploySpec,
  members: object = {},
): object {
  return {
    description: "of the conformance suite",
    type,
    location,
    essential: false,
    workload_jwt: legacyToken(target, name),
    environment: sealEnvironment({}, target.publisher, target.xkey),
    jsdomain: "",
    sender_public_key: target.publisher.publicKey,
    target_node: target.nodeId,
    ...(type === "v8" ? { trigger_subjects: [triggerOf(target, name)] } : {}),
    ...members,
  };
}

/** The subject on which a function of this name is called, unless it is said otherwise. */
export const triggerOf = (target: Target, name: string): string =>
  `${target.namespace.toLowerCase()}.${name}`;

/** A workload that runs; it is stopped at the end of the block. */
export interface Running extends AsyncDisposable {
  id: string;
  name: string;
  namespace: string;
  /** SHA-256 of what was uploaded. */
  sha256: string;
  deployedAtSeconds: number;
}

let names = 0;
/** A name that no other workload of the run has. */
export const freshName = (): string => `Row_${++names}`;

/** Uploads a function's source. @returns where it is. */
export async function uploadSource(target: Target, source: string, key = freshName()): Promise<GoUrl> {
  const { bucket } = await target.client.upload({ bytes: Buffer.from(source) }, { key });
  return objectLocation(bucket, key);
}

/** Deploys a function in the form that Go Nex takes too. */
export async function runFunction(
  target: Target,
  source: string,
  members: object = {},
  name = freshName(),
): Promise<Running> {
  const uploaded = await target.client.upload({ bytes: Buffer.from(source) }, { key: name });
  return await start(target, { name, type: "v8", ...located(uploaded) }, uploaded.sha256, members);
}

/** Deploys the service that does what its arguments say. */
export async function runService(
  target: Target,
  argv: readonly string[],
  members: object = {},
): Promise<Running> {
  const probe = await probeService();
  assert.ok(probe !== undefined);
  const name = freshName();
  const uploaded = await target.client.upload({ path: probe.path }, { key: name });
  return await start(target, { name, type: "native", ...located(uploaded) }, uploaded.sha256, {
    argv,
    ...members,
  });
}

const located = ({ bucket, key }: { bucket: string; key: string }): { location: GoUrl } => ({
  location: objectLocation(bucket, key),
});

async function start(target: Target, spec: DeploySpec, sha256: string, members: object): Promise<Running> {
  const { namespace } = target;
  const deployedAtSeconds = nowSeconds();
  const answer = await sendDeploy(target, deployBody(target, spec, members));
  assert.equal(answer.error, undefined);
  const { id, name } = runSchema.parse(answer.data);
  const running = { id, name, namespace, sha256, deployedAtSeconds };
  return { ...running, [Symbol.asyncDispose]: () => end(target, running) };
}

/** Stops a workload, if it has not ended. Go Nex takes no stop in the second of the deploy. */
async function end(target: Target, running: Omit<Running, keyof AsyncDisposable>): Promise<void> {
  if (!target.ours && nowSeconds() === running.deployedAtSeconds) await delay(1_000);
  await sendStop(target, running);
}

/** A message of a feed. */
export interface Heard {
  subject: string;
  body: Record<string, unknown>;
}

/** The first message on a subject that fits, of those that come once `act` has begun. */
export async function heard(
  { connection }: Target,
  subject: string,
  act: () => Promise<unknown>,
  fits: (message: Heard) => boolean = () => true,
): Promise<Heard> {
  const { promise, resolve, reject } = Promise.withResolvers<Heard>();
  const subscription = connection.subscribe(subject, {
    callback: (error, message) => {
      const one = { subject: message.subject, body: error === null ? message.json() : {} } as Heard;
      if (fits(one)) resolve(one);
    },
  });
  const timer = setTimeout(
    () => reject(new RangeError(`nothing that fits came on ${subject}`)),
    hearTimeoutMs,
  );
  promise.catch(() => undefined);
  try {
    await connection.flush();
    await act();
    return await promise;
  } finally {
    clearTimeout(timer);
    subscription.unsubscribe();
  }
}

/** Calls a function. */
export async function call(target: Target, subject: string, payload = ""): Promise<string> {
  return (await target.connection.request(subject, payload, { timeout: hearTimeoutMs })).string();
}
