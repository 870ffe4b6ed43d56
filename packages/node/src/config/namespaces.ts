/** What a node's configuration says of single namespaces. */
import {
  isNamespace,
  isPublicKey,
  isSubscribableSubject,
  type Limits,
  limitsSchema,
  natsContextSchema,
  refusedMember,
  replicasMax,
  systemNamespace,
} from "@nexengine/protocol/internal";
import { z } from "zod";
import { hostServicesSchema } from "../host-services/settings.ts";

const count = z.number().int().min(0);

/** 0 is no limit. */
export const nodeLimitsSchema = z.object({
  max_workloads: count.default(0),
  /** Machines of all workloads: each has as many as it has replicas. `max_workloads` where it is 0. */
  max_machines: count.default(0),
  max_total_bytes: count.default(0),
  max_workload_bytes: count.default(0),
});

/** What a workload gets that asks for nothing, and the most that any gets. */
export const limitsOfWorkloadsSchema = z.object({
  // Which ports are published is a matter of each workload.
  default: limitsSchema.omit({ publish: true }).default({}),
  max: limitsSchema.extend({ replicas: z.number().int().min(1).max(replicasMax).optional() }).default({}),
});
/** The most that one workload gets. */
export type MaxLimits = Limits & { replicas?: number | undefined };

export const publicKeysSchema = z.array(z.string().refine((key) => isPublicKey(key), "is not a public nkey"));
export const subjectsSchema = z.array(z.string().refine(isSubscribableSubject, "is not a NATS subject"));

/** A NATS context; the node's servers where it names none. */
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
  /** By which the node acts for the namespace. */
  connection: connectionSchema.optional(),
  /** Instead of the node's; those where it is empty. */
  valid_issuers: publicKeysSchema.default([]),
  /** Of this namespace, within the node's. */
  node_limits: nodeLimitsSchema.prefault({}),
  /** Each instead of the node's. */
  limits: limitsOfWorkloadsSchema.prefault({}),
  /** Beside the node's. */
  deny_trigger_subjects: subjectsSchema.default([]),
  /** Instead of the node's. */
  host_services: z.object({ services: hostServicesSchema }).optional(),
});

const nameSchema = z
  .string()
  .refine(
    (name) => name === "*" || (isNamespace(name) && name.toLowerCase() !== systemNamespace),
    'is neither "*" nor a namespace into which one can deploy',
  );

/** By name; `*` stands for each that is not named. An empty map would be a way to shut all, or to open all. */
export const namespacesSchema = z
  .record(nameSchema, namespaceSchema)
  .refine(
    (namespaces) => Object.keys(namespaces).length > 0,
    "names no namespace; leave it away to take every one",
  );
export type Namespaces = z.infer<typeof namespacesSchema>;
export type ConnectionConfig = z.infer<typeof connectionSchema>;

/** The parts of a configuration that say what holds in a namespace. */
interface Rules {
  valid_issuers: string[];
  node_limits: z.infer<typeof nodeLimitsSchema>;
  limits: z.infer<typeof limitsOfWorkloadsSchema>;
  deny_trigger_subjects: string[];
}

/** What holds in one namespace. */
export interface NamespaceRules {
  /** Is anything taken there at all? */
  isListed: boolean;
  validIssuers: readonly string[];
  /** 0 is no limit. */
  workloadCountMax: number;
  /** 0 is no limit. */
  machineCountMax: number;
  /** Of all artifacts of the namespace; 0 is no limit. */
  totalBytesMax: number;
  /** Of one artifact. */
  workloadBytesMax: number;
  /** Those that the namespace has instead of the node's. */
  limits: { default: Limits; max: MaxLimits };
  denyTriggerSubjects: readonly string[];
}

/** The entry of a namespace, its own or that for all others. */
export function entryOf<T>(entries: Readonly<Record<string, T>>, namespace: string): T | undefined {
  return Object.hasOwn(entries, namespace) ? entries[namespace] : entries["*"];
}

/** The bound on machines: without one of its own, that on workloads, each of which has one machine at least. */
export function machinesMaxOf({ max_machines, max_workloads }: z.infer<typeof nodeLimitsSchema>): number {
  return max_machines > 0 ? max_machines : max_workloads;
}

/**
 * What holds in a namespace, whose name is compared exactly, as NATS permissions do; what holds on the whole node
 * without one.
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
  };
}
