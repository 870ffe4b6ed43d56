/** The durable consumer of a trigger, which all copies of its workload share. */
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  type ConsumerUpdateConfig,
  type DeliverPolicy,
  type JetStreamManager,
  ReplayPolicy,
} from "@nats-io/jetstream";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { consumerMetadata, consumerOwnerText } from "@nexengine/protocol/messages";
import { triggerConsumerName } from "@nexengine/protocol/subjects";

/** Error codes of JetStream. */
const consumerExists = 10_148;
const consumerNotFound = 10_014;
const streamNotFound = 10_059;

/** Maximum number of pulls that are open at once, of all copies together. It can't be changed later. */
const pullsMax = 4_096;
const nsPerMs = 1e6;

/** Whose consumer it is. */
export interface ConsumerOwner {
  namespace: string;
  workload: string;
  trigger: string;
  /** Time of the deploy. A later one may change the consumer. */
  deployedAtMs: number;
}

/** Where a consumer starts. */
export type ConsumerStart =
  | { deliver_policy: "new" | "all" | "last_per_subject" }
  | { deliver_policy: "by_start_sequence"; opt_start_seq: number }
  | { deliver_policy: "by_start_time"; opt_start_time: string };

/** The parts of a consumer that a trigger chooses. */
export interface ConsumerSpec {
  filters: readonly string[];
  start: ConsumerStart;
  ackWaitMs: number;
  maxPending: number;
}

/**
 * Creates the consumer, or takes the one that is there and makes its settings ours.
 *
 * @throws NexError `trigger_source_missing`, `trigger_failed`
 */
export async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  owner: ConsumerOwner,
  spec: ConsumerSpec,
): Promise<ConsumerInfo> {
  const name = nameOf(owner);
  const what = `Cannot make the consumer ${name} of the stream ${stream} ready`;
  try {
    const info = await createOrTake(manager, stream, owner, spec);
    return demandOurs(info, spec, what);
  } catch (error) {
    throw asTriggerError(error, what);
  }
}

async function createOrTake(
  manager: JetStreamManager,
  stream: string,
  owner: ConsumerOwner,
  spec: ConsumerSpec,
): Promise<ConsumerInfo> {
  const name = nameOf(owner);
  const changeable = changeableParts(owner, spec);
  const config: ConsumerConfig = {
    ...changeable,
    ...startOf(spec.start),
    name,
    durable_name: name,
    ack_policy: AckPolicy.Explicit,
    replay_policy: ReplayPolicy.Instant,
    max_waiting: pullsMax,
  };
  try {
    // Without the action, a server changes a consumer of that name.
    return await manager.consumers.add(stream, config);
  } catch (error) {
    if (codeOf(error) !== consumerExists) throw error;
  }
  const found = await manager.consumers.info(stream, name);
  const { metadata } = found.config;
  const whose = metadata?.[consumerMetadata.owner];
  if (whose !== consumerOwnerText(owner)) {
    throw new NexError(
      "trigger_failed",
      `Cannot use the consumer ${name} of the stream ${stream}: it belongs to somebody else`,
      { advice: `Delete it, or give the trigger another name` },
    );
  }
  // An older copy leaves the settings of a newer one.
  const isNewer = Number(metadata?.[consumerMetadata.deployed]) > owner.deployedAtMs;
  if (isNewer || isSame(found.config, changeable)) return found;
  const single = changeable.filter_subject !== undefined;
  const update = { ...changeable, ...(single ? { filter_subjects: [] } : { filter_subject: "" }) };
  return await manager.consumers.update(stream, name, update);
}

function nameOf({ namespace, workload, trigger }: ConsumerOwner): string {
  return triggerConsumerName(namespace, workload, trigger);
}

function changeableParts(owner: ConsumerOwner, spec: ConsumerSpec): ConsumerUpdateConfig {
  const [first, ...others] = spec.filters;
  return {
    ack_wait: spec.ackWaitMs * nsPerMs,
    max_ack_pending: spec.maxPending,
    // The node counts deliveries, because the server forgets a message at its maximum.
    max_deliver: -1,
    ...(first === undefined
      ? {}
      : others.length === 0
        ? { filter_subject: first }
        : { filter_subjects: [...spec.filters] }),
    metadata: {
      [consumerMetadata.owner]: consumerOwnerText(owner),
      [consumerMetadata.deployed]: String(owner.deployedAtMs),
    },
  };
}

function startOf(start: ConsumerStart): Pick<ConsumerConfig, "deliver_policy" | "opt_start_seq"> {
  return { ...start, deliver_policy: start.deliver_policy as DeliverPolicy };
}

function filtersOf({ filter_subject, filter_subjects }: ConsumerUpdateConfig): string {
  const all = filter_subject ? [filter_subject] : (filter_subjects ?? []);
  return [...all].sort().join(" ");
}

function isSame(found: ConsumerConfig, wanted: ConsumerUpdateConfig): boolean {
  return (
    found.ack_wait === wanted.ack_wait &&
    found.max_ack_pending === wanted.max_ack_pending &&
    found.max_deliver === wanted.max_deliver &&
    filtersOf(found) === filtersOf(wanted)
  );
}

/** A server may take a configuration and leave parts of it away. */
function demandOurs(info: ConsumerInfo, { filters }: ConsumerSpec, what: string): ConsumerInfo {
  const { config } = info;
  const wanted = [...filters].sort().join(" ");
  if (config.ack_policy !== AckPolicy.Explicit || (wanted !== "" && filtersOf(config) === "")) {
    throw new NexError("trigger_failed", `${what}: the server has not taken its settings`, {
      advice: "The NATS server may be too old",
    });
  }
  return info;
}

/** Error code of JetStream; `undefined` for other errors. */
export function codeOf(error: unknown): number | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === "number" ? code : undefined;
}

/** Whether an error says that the consumer does not exist, though its stream may. */
export function isNoConsumer(error: unknown): boolean {
  return codeOf(error) === consumerNotFound;
}

/** Whether an error says that the stream does not exist. */
export function isNoStream(error: unknown): boolean {
  return codeOf(error) === streamNotFound;
}

/** Converts an error of a request to JetStream. */
export function asTriggerError(error: unknown, what: string): NexError {
  if (error instanceof NexError) return error;
  const code = isNoStream(error) ? "trigger_source_missing" : "trigger_failed";
  const text = errorText(error);
  const isSilent = codeOf(error) === undefined && /timeout|no responders/i.test(text);
  return new NexError(code, `${what}: ${isSilent ? `JetStream does not answer (${text})` : text}`, {
    cause: error,
    ...(isSilent
      ? { advice: "JetStream may be disabled, have no leader, or not be permitted to the user" }
      : {}),
  });
}
