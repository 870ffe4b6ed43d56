/** Configuration of single namespaces. */
import { type Limits, limitsSchema, replicasMax } from "@nexengine/protocol/messages";
import { natsContextSchema, refusedMember } from "@nexengine/protocol/nats";
import { isNamespace, isSubscribableSubject, systemNamespace } from "@nexengine/protocol/subjects";
import { isPublicKey } from "@nexengine/protocol/tokens";
import { z } from "zod";
import { hostServicesSchema } from "../host-services/settings.ts";

const count = z.number().int().min(0);

/** 0 is no limit. */
export const nodeLimitsSchema = z.object({
  max_workloads: count.default(0),
  /** Maximum number of machines of all workloads. `max_workloads` applies where this is 0. */
  max_machines: count.default(0),
  max_total_bytes: count.default(0),
  max_workload_bytes: count.default(0),
});

/** Default and maximum limits of a workload. */
export const limitsOfWorkloadsSchema = z.object({
  // Published ports have no default.
  default: limitsSchema.omit({ publish: true }).default({}),
  max: limitsSchema.extend({ replicas: z.number().int().min(1).max(replicasMax).optional() }).default({}),
});
/** Maximum limits of one workload. */
export type MaxLimits = Limits & { replicas?: number | undefined };

export const publicKeysSchema = z.array(z.string().refine((key) => isPublicKey(key), "is not a public nkey"));
export const subjectsSchema = z.array(z.string().refine(isSubscribableSubject, "is not a NATS subject"));

export const streamNamesSchema = z.array(
  z
    .string()
    .regex(/^[A-Za-z0-9_-]*\*?$/, "is not a stream's name")
    .min(1),
);

/** A NATS context. It uses the node's servers when it names none. */
const connectionSchema = natsContextSchema.superRefine((context, check) => {
  const member =
    refusedMember(context) ?? (context.jetstream_api_prefix === "" ? undefined : "jetstream_api_prefix");
  if (member !== undefined) {
    check.addIssue({ code: "custom", path: [member], message: "this version does not act on it" });
  }
  if ((context.cert === "") !== (context.key === "")) {
    check.addIssue({ code: "custom", message: "cert and key go together" });
  }
  const says = [context.url, context.user, context.token, context.creds, context.nkey, context.user_jwt];
  if (!says.some(Boolean)) {
    check.addIssue({ code: "custom", message: "it says neither where nor as whom to connect" });
  }
});

const namespaceSchema = z.object({
  /** Connection of the namespace. */
  connection: connectionSchema.optional(),
  /** Replaces the node's list, unless it is empty. */
  valid_issuers: publicKeysSchema.default([]),
  /** Limits of this namespace, within the node's. */
  node_limits: nodeLimitsSchema.prefault({}),
  /** Each limit replaces the node's. */
  limits: limitsOfWorkloadsSchema.prefault({}),
  /** Added to the node's list. */
  deny_trigger_subjects: subjectsSchema.default([]),
  /** Added to the node's list. */
  deny_trigger_streams: streamNamesSchema.default([]),
  /** Replaces the node's settings. */
  host_services: z.object({ services: hostServicesSchema }).optional(),
});

const nameSchema = z
  .string()
  .refine(
    (name) => name === "*" || (isNamespace(name) && name.toLowerCase() !== systemNamespace),
    'is neither "*" nor a namespace into which one can deploy',
  );

/** By name; `*` stands for all others. An empty map is refused: it could mean none or all. */
export const namespacesSchema = z
  .record(nameSchema, namespaceSchema)
  .refine(
    (namespaces) => Object.keys(namespaces).length > 0,
    "names no namespace; leave it away to take every one",
  );
export type Namespaces = z.infer<typeof namespacesSchema>;
export type ConnectionConfig = z.infer<typeof connectionSchema>;

/** The parts of a configuration with rules for namespaces. */
interface Rules {
  valid_issuers: string[];
  node_limits: z.infer<typeof nodeLimitsSchema>;
  limits: z.infer<typeof limitsOfWorkloadsSchema>;
  deny_trigger_subjects: string[];
  deny_trigger_streams: string[];
}

/** Rules of one namespace. */
export interface NamespaceRules {
  /** Whether workloads are accepted there. */
  isListed: boolean;
  validIssuers: readonly string[];
  /** 0 is no limit. */
  workloadCountMax: number;
  /** 0 is no limit. */
  machineCountMax: number;
  /** Maximum size of all artifacts of the namespace; 0 is no limit. */
  totalBytesMax: number;
  /** Maximum size of one artifact. */
  workloadBytesMax: number;
  /** The namespace's own limits replace the node's. */
  limits: { default: Limits; max: MaxLimits };
  denyTriggerSubjects: readonly string[];
  denyTriggerStreams: readonly string[];
}

/** Entry of a namespace: its own, or that of `*`. */
export function entryOf<T>(entries: Readonly<Record<string, T>>, namespace: string): T | undefined {
  return Object.hasOwn(entries, namespace) ? entries[namespace] : entries["*"];
}

/** Maximum number of machines; that of workloads applies where there is none. */
export function machinesMaxOf({ max_machines, max_workloads }: z.infer<typeof nodeLimitsSchema>): number {
  return max_machines > 0 ? max_machines : max_workloads;
}

/**
 * Rules of a namespace; those of the whole node without one. Names are compared exactly, as in NATS
 * permissions.
 */
export function rulesOf(
  config: Rules & { namespaces?: Namespaces | undefined },
  namespace: string | undefined,
): NamespaceRules {
  const { namespaces, deny_trigger_subjects: denied, valid_issuers: issuers } = config;
  const own = namespace === undefined ? undefined : entryOf(namespaces ?? {}, namespace);
  const bytes = [config.node_limits.max_workload_bytes, own?.node_limits.max_workload_bytes ?? 0];
  return {
    isListed: namespaces === undefined || namespace === undefined || own !== undefined,
    validIssuers: own !== undefined && own.valid_issuers.length > 0 ? own.valid_issuers : issuers,
    workloadCountMax: own?.node_limits.max_workloads ?? 0,
    machineCountMax: own === undefined ? 0 : machinesMaxOf(own.node_limits),
    totalBytesMax: own?.node_limits.max_total_bytes ?? 0,
    workloadBytesMax: Math.min(...bytes.filter((max) => max > 0)),
    limits: {
      default: { ...config.limits.default, ...own?.limits.default },
      max: { ...config.limits.max, ...own?.limits.max },
    },
    denyTriggerSubjects: [...denied, ...(own?.deny_trigger_subjects ?? [])],
    denyTriggerStreams: [...config.deny_trigger_streams, ...(own?.deny_trigger_streams ?? [])],
  };
}
