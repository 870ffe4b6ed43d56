/** Rules for the streams of triggers: subjects that are denied to triggers, and streams that are not for them. */
import type { StreamConfig } from "@nats-io/jetstream";
import { NexError } from "@nexengine/protocol/errors";
import { describeTrigger, type TriggerRequest } from "@nexengine/protocol/messages";
import { overlapping, printable } from "@nexengine/protocol/subjects";

/** Options for the rules of a namespace. */
export interface StreamRulesOptions {
  namespace: string;
  /** Name of the workload. */
  workload: string;
  /** Whether the connection is the namespace's or the request's own. Then the server's permissions decide. */
  isOwnConnection: boolean;
  /** Patterns of denied subjects. */
  deniedSubjects: readonly string[];
  /** Names of denied streams; a last `*` stands for any rest. */
  deniedStreams: readonly string[];
}

/** Streams of Nex itself, on a connection that many share. */
const nexStreams = ["NEX_*", "KV_NEX_*", "OBJ_NEX*"];
/** Start of the description of a bucket of host services, which its owner's namespace and name follow. */
const ownerMark = "nex:";

export class StreamRules {
  readonly #options: StreamRulesOptions;

  constructor(options: StreamRulesOptions) {
    this.#options = options;
  }

  /**
   * Checks the stream of a trigger.
   *
   * @param filters Subjects of the trigger; all of the stream's when empty.
   * @throws NexError `trigger_denied`
   */
  check(trigger: TriggerRequest, stream: StreamConfig, filters: readonly string[]): void {
    // The stream of schedules is made for the namespace, so its name is not chosen.
    if (trigger.type === "cron") return;
    const { isOwnConnection, deniedStreams, deniedSubjects } = this.#options;
    const names = isOwnConnection ? deniedStreams : [...deniedStreams, ...nexStreams];
    const denied = names.find((pattern) => isNamed(stream.name, pattern));
    if (denied !== undefined) throw refusal(trigger, `streams named ${denied} are not for triggers here`);
    this.#checkOwner(trigger, stream);
    for (const subject of filters.length > 0 ? filters : (stream.subjects ?? []))
      checkDenied(subject, trigger, deniedSubjects);
  }

  #checkOwner(trigger: TriggerRequest, { description = "" }: StreamConfig): void {
    if (!description.startsWith(ownerMark)) return;
    const { namespace, workload } = this.#options;
    const owner = description.slice(ownerMark.length);
    if (owner === `${namespace}/${workload}`)
      throw refusal(trigger, "the function writes into it itself, and would call itself without end");
    if (!owner.startsWith(`${namespace}/`)) throw refusal(trigger, "it belongs to another namespace");
  }
}

function isNamed(name: string, pattern: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/**
 * Checks the subjects of stored messages against a deny list.
 *
 * @throws NexError `trigger_denied`
 */
export function checkDenied(subject: string, trigger: TriggerRequest, denyList: readonly string[]): void {
  const denied = overlapping(subject, denyList);
  if (denied.length === 0) return;
  throw refusal(
    trigger,
    `${printable(subject)} overlaps with this node's deny list: ${denied.slice(0, 4).join(", ")}`,
  );
}

function refusal(trigger: TriggerRequest, why: string): NexError {
  return new NexError("trigger_denied", `Cannot use the trigger on ${describeTrigger(trigger)}: ${why}`);
}
