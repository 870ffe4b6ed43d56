/** Triggers of a function, as a deploy requests them. Each kind is one member of the union. */
import { z } from "zod";
import { NexError } from "../errors.ts";
import { goObject } from "../formats/go-json.ts";
import { parseSchedule } from "../formats/schedule.ts";
import { printable } from "../subjects/names.ts";
import { isPublishableSubject, isSubscribableSubject, subjectBytesMax } from "../subjects/subject-match.ts";
import type { Feature } from "./features.ts";
import { collidingRoutes, httpRefusal } from "./http-triggers.ts";

/** Maximum number of triggers of one workload, of all kinds together. */
export const triggersMax = 64;
const filtersMax = 64;
const nameCharactersMax = 64;
const backoffsMax = 32;
const textCharactersMax = 256;
const payloadCharactersMax = 65_536;
const msPerDay = 86_400_000;

/** Bounds of the numbers of a trigger: smallest, largest, and the value of one that is absent. */
export const triggerBounds = {
  /** Deliveries of one message until it is a dead letter; 0 is no limit. */
  attempts: { min: 0, max: 1_000_000, otherwise: 5 },
  /** Time after which the server delivers a message again that nobody has settled. */
  ack_wait_ms: { min: 1_000, max: msPerDay, otherwise: 30_000 },
  /** Maximum number of unsettled messages of the consumer, those that wait for another attempt too. */
  max_pending: { min: 1, max: 1_000_000, otherwise: 10_000 },
  body_bytes_max: { min: 1, max: 64 * 1024 * 1024, otherwise: 524_288 },
  time_ms: { min: 1, max: 600_000, otherwise: 30_000 },
} as const;

/** Delays before the second attempt and the next ones, in ms. The last one repeats. */
export const backoffMsOtherwise: readonly number[] = [1_000, 5_000, 30_000, 120_000];

const bounded = (name: keyof typeof triggerBounds) =>
  z.number().int().min(triggerBounds[name].min).max(triggerBounds[name].max).optional();

/** JetStream's rule for names of streams, buckets and consumers in Nex: one token without wildcards or separators. */
const storeName = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/);
const name = z
  .string()
  .regex(new RegExp(`^[A-Za-z0-9_-]{1,${nameCharactersMax}}$`))
  .optional();
const subject = z.string().min(1).max(subjectBytesMax);

/** How messages are settled, for every kind that a stream stands behind. */
const settling = {
  attempts: bounded("attempts"),
  backoff_ms: z.array(z.number().int().min(0).max(msPerDay)).min(1).max(backoffsMax).optional(),
  /** Subject of the dead letters, which a stream must have; `drop` for none. Absent means `$NEX.DEAD.<namespace>.<name>`. */
  dead: subject.optional(),
  ack_wait_ms: bounded("ack_wait_ms"),
  max_pending: bounded("max_pending"),
  /** Whether each ack is confirmed by the server. */
  confirm: z.boolean().optional(),
};

const fromStream = z.union([
  z.enum(["new", "all"]),
  z.strictObject({ seq: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER) }),
  z.strictObject({ time: z.iso.datetime({ offset: true }) }),
]);

/** Requests over HTTP. */
export const httpTriggerSchema = z.strictObject({
  type: z.literal("http"),
  name,
  /** `[host]/path`, with `:name` for a segment and a last `*` for the rest. */
  route: z.string().min(1).max(subjectBytesMax),
  /** All when absent. */
  methods: z
    .array(z.string().regex(/^[A-Z]{1,16}$/))
    .min(1)
    .max(16)
    .optional(),
  /** `none`, or the accounts whose users may call. */
  auth: z.union([z.literal("none"), z.strictObject({ accounts: z.array(z.string()).min(1).max(64) })]),
  body_bytes_max: bounded("body_bytes_max"),
  time_ms: bounded("time_ms"),
  /** Origins that may call from a browser. */
  cors: z.array(z.string().min(1).max(textCharactersMax)).min(1).max(64).optional(),
});

const triggerSchema = z.discriminatedUnion("type", [
  /** Messages on a core subject. */
  z.strictObject({
    type: z.literal("subject"),
    name,
    subject,
    /** Whether a full copy leaves the queue group until it has room, or refuses. Absent means `leave`. */
    when_full: z.enum(["leave", "refuse"]).optional(),
  }),
  /** Messages of a stream, each by one copy, until it is settled. */
  z.strictObject({
    type: z.literal("stream"),
    name,
    stream: storeName,
    filters: z.array(subject).min(1).max(filtersMax).optional(),
    /** Where it starts. Absent means `all` in a work queue, and `new` elsewhere. */
    from: fromStream.optional(),
    order: z.enum(["none", "strict"]).optional(),
    ...settling,
  }),
  /** The latest value of each key of a bucket. */
  z.strictObject({
    type: z.literal("kv"),
    name,
    bucket: storeName,
    /** Patterns of keys; all when absent. */
    keys: z.array(subject).min(1).max(filtersMax).optional(),
    /** Absent means `new`. */
    from: z.enum(["new", "current", "history"]).optional(),
    /** Whether deleted keys are told. Absent means true. */
    deletes: z.boolean().optional(),
    ...settling,
  }),
  /** Objects of an object store, each once it is whole. */
  z.strictObject({
    type: z.literal("object"),
    name,
    bucket: storeName,
    /** Absent means `new`. */
    from: z.enum(["new", "current"]).optional(),
    /** Whether deleted objects are told. Absent means true. */
    deletes: z.boolean().optional(),
    ...settling,
  }),
  /** A schedule. */
  z.strictObject({
    type: z.literal("cron"),
    name,
    /** Five or six fields, `@hourly` and so on, or `every 5m`. */
    schedule: z.string().min(1).max(textCharactersMax),
    /** Name of a time zone. Absent means UTC. */
    zone: z.string().min(1).max(textCharactersMax).optional(),
    payload: z.string().max(payloadCharactersMax).optional(),
    /** For ticks that nobody took in time: the last one is run, or none. Absent means `last`. */
    missed: z.enum(["last", "none"]).optional(),
    /** Whether a tick waits for the end of the one before. Absent means `forbid`. */
    overlap: z.enum(["forbid", "allow"]).optional(),
    ...settling,
  }),
  httpTriggerSchema,
]);
/** A trigger on the wire. */
export type TriggerRequest = z.infer<typeof triggerSchema>;

export const triggersSchema = z.array(triggerSchema).min(1).max(triggersMax);

/** A trigger whose name is known. */
export type NamedTrigger = TriggerRequest & { name: string };

/** Kinds whose messages a stream keeps until they are settled. */
export type StoredTrigger = Extract<NamedTrigger, { type: "stream" | "kv" | "object" | "cron" }>;

/**
 * Gives each trigger a name: its own, or its type, with a number from the second of a type on.
 *
 * @throws NexError `trigger_invalid` for a name that is used twice.
 */
export function nameTriggers(triggers: readonly TriggerRequest[]): NamedTrigger[] {
  const names = new Set(triggers.flatMap(({ name }) => name ?? []));
  const given = new Set<string>();
  return triggers.map((trigger) => {
    let { name } = trigger;
    for (let count = 1; name === undefined; count++) {
      const next = count === 1 ? trigger.type : `${trigger.type}-${count}`;
      if (!names.has(next) && !given.has(next)) name = next;
    }
    if (given.has(name)) throw refusal(trigger, `the name "${name}" is given twice`);
    given.add(name);
    return { ...trigger, name };
  });
}

/** Features that a node needs for these triggers. */
export function triggerFeatures(triggers: readonly TriggerRequest[]): Feature[] {
  return [...new Set(triggers.map(({ type }): Feature => `trigger.${type}`))];
}

/** A trigger in words, for messages. */
export function describeTrigger(trigger: TriggerRequest): string {
  switch (trigger.type) {
    case "subject":
      return `subject ${printable(trigger.subject)}`;
    case "stream":
      return `stream ${trigger.stream}`;
    case "kv":
      return `bucket ${trigger.bucket}`;
    case "object":
      return `object store ${trigger.bucket}`;
    case "cron":
      return `schedule ${printable(trigger.schedule)}`;
    case "http":
      return `route ${printable(trigger.route)}`;
  }
}

/**
 * Checks what a schema does not show.
 *
 * @throws NexError `trigger_invalid`
 */
export function checkTriggers(triggers: readonly TriggerRequest[]): void {
  nameTriggers(triggers);
  for (const trigger of triggers) {
    const why = refusalOf(trigger);
    if (why !== undefined) throw refusal(trigger, why);
  }
  const twice = collidingRoutes(triggers);
  if (twice !== undefined) throw refusal(twice, "another trigger of the workload has the same route");
}

function refusalOf(trigger: TriggerRequest): string | undefined {
  if ("dead" in trigger && trigger.dead !== undefined && trigger.dead !== "drop") {
    if (!isPublishableSubject(trigger.dead) || /^\$/.test(trigger.dead))
      return `dead letters can't go to "${printable(trigger.dead)}"`;
  }
  switch (trigger.type) {
    case "subject":
      return isSubscribableSubject(trigger.subject) ? undefined : "it is not a NATS subject";
    case "stream":
      return patternRefusal(trigger.filters, "filter");
    case "kv":
      return patternRefusal(trigger.keys, "key");
    case "cron":
      parseSchedule(trigger.schedule, trigger.zone);
      return undefined;
    case "http":
      return httpRefusal(trigger);
    case "object":
      return undefined;
  }
}

function patternRefusal(patterns: readonly string[] | undefined, what: string): string | undefined {
  const bad = patterns?.find((pattern) => !isSubscribableSubject(pattern));
  return bad === undefined ? undefined : `the ${what} "${printable(bad)}" is not a NATS subject`;
}

function refusal(trigger: TriggerRequest, why: string): NexError {
  return new NexError("trigger_invalid", `Cannot use the trigger on ${describeTrigger(trigger)}: ${why}`);
}

/** An operation on a trigger of a running workload. */
const triggerActions = ["pause", "resume"] as const;
export type TriggerAction = (typeof triggerActions)[number];

/** A TRIGGER request. Unlike STOP, it takes a bound token only. */
export const triggerActionRequestSchema = goObject({
  workload_id: z.string().max(256),
  workload_jwt: z.string(),
  target_node: z.string().max(256).optional(),
  trigger: z.string().max(nameCharactersMax),
  action: z.enum(triggerActions),
});
export type TriggerActionRequest = z.infer<typeof triggerActionRequestSchema>;

/** State of a trigger in INFO. */
export const triggerStatusSchema = z.object({
  name: z.string(),
  type: z.string(),
  /** Subject, stream, bucket, schedule or route, for people. */
  on: z.string(),
  /** `starting`, `active`, `full`, `unreachable`, `paused`, `draining`, `stopped` or `failed`. */
  state: z.string(),
  /** Why it does not fire. */
  problem: z.string().optional(),
  /** Messages since it started on this node; absent for core subjects. */
  received: z.number().optional(),
  acked: z.number().optional(),
  retried: z.number().optional(),
  dead: z.number().optional(),
  in_flight: z.number().optional(),
  /** Messages that no copy has taken yet. */
  pending: z.number().optional(),
  last_error: z.string().optional(),
  /** A peculiarity of how its messages come. */
  remark: z.string().optional(),
});
export type TriggerStatus = z.infer<typeof triggerStatusSchema>;

/** Answer to TRIGGER. */
export const triggerActionResponseSchema = goObject({ id: z.string(), trigger: triggerStatusSchema });

/** Metadata of a trigger's consumer. */
export const consumerMetadata = {
  /** Namespace, workload and trigger, as JSON. */
  owner: "nex.trigger",
  /** Time of the deploy that has set its configuration, in ms since 1970. */
  deployed: "nex.deployed",
} as const;

/** Whose a trigger's consumer is. */
export interface ConsumerOwnerNames {
  namespace: string;
  workload: string;
  trigger: string;
}

export function consumerOwnerText({ namespace, workload, trigger }: ConsumerOwnerNames): string {
  return JSON.stringify([namespace, workload, trigger]);
}

/** Reads the owner from a consumer's metadata; `undefined` where it is no trigger's. */
export function consumerOwnerOf(
  metadata: Readonly<Record<string, string>> | undefined,
): ConsumerOwnerNames | undefined {
  try {
    const [namespace, workload, trigger] = z
      .tuple([z.string(), z.string(), z.string()])
      .parse(JSON.parse(metadata?.[consumerMetadata.owner] ?? ""));
    return { namespace, workload, trigger };
  } catch {
    return undefined;
  }
}
