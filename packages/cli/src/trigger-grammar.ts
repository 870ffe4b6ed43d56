/** The grammar of `--on`: one trigger in words. An error shows the form of its kind. */
import { readFileSync } from "node:fs";
import type { TriggerRequest } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { triggersSchema } from "@nexengine/protocol/messages";
import { parseBytes } from "./limit-options.ts";
import { parseDuration } from "./option-values.ts";

const settling =
  "[attempts=N] [backoff=DURATION,…] [dead=SUBJECT|drop] [ack-wait=DURATION] [max-pending=N] [confirm=yes]";
const forms = {
  subject: "subject SUBJECT [when-full=leave|refuse]",
  stream: `stream NAME [FILTER…] [from=new|all|seq:N|TIME] [order=strict] ${settling}`,
  kv: `kv BUCKET [KEYS…] [from=new|current|history] [deletes=yes|no] ${settling}`,
  object: `object BUCKET [from=new|current] [deletes=yes|no] ${settling}`,
  cron: `cron FIELDS [zone=ZONE] [payload=TEXT] [missed=last|none] [overlap=forbid|allow] ${settling}`,
  every: `every DURATION [payload=TEXT] [missed=last|none] [overlap=forbid|allow] ${settling}`,
  http: "http [METHOD,…] [HOST]/PATH [auth=none|ACCOUNT,…] [body=SIZE] [time=DURATION] [cors=ORIGIN,…]",
} as const;
type Kind = keyof typeof forms;

/** The forms of all kinds without their options. */
export const triggerForms: readonly string[] = Object.values(forms).map((form) =>
  form.replace(/ \[[a-z-]+=.*$/, ""),
);

type Members = Record<string, unknown>;
type OptionReader = (value: string) => Members;

const whole =
  (member: string): OptionReader =>
  (value) => ({ [member]: Number(value) });
const text =
  (member: string): OptionReader =>
  (value) => ({ [member]: value });
const duration =
  (member: string): OptionReader =>
  (value) => ({ [member]: parseDuration(value) });
const yesOrNo =
  (member: string): OptionReader =>
  (value) => ({ [member]: value === "yes" ? true : value === "no" ? false : value });
const list =
  (member: string): OptionReader =>
  (value) => ({ [member]: value.split(",") });

const ofSettling: Record<string, OptionReader> = {
  attempts: whole("attempts"),
  backoff: (value) => ({ backoff_ms: value.split(",").map(parseDuration) }),
  dead: text("dead"),
  "ack-wait": duration("ack_wait_ms"),
  "max-pending": whole("max_pending"),
  confirm: yesOrNo("confirm"),
};
const ofSchedule: Record<string, OptionReader> = {
  ...ofSettling,
  payload: text("payload"),
  missed: text("missed"),
  overlap: text("overlap"),
};

/** Options that each kind has. Any other word with an equals sign is a word. */
const optionsOf: Record<Kind, Record<string, OptionReader>> = {
  subject: { "when-full": text("when_full") },
  stream: { ...ofSettling, from: (value) => ({ from: fromOf(value) }), order: text("order") },
  kv: { ...ofSettling, from: text("from"), deletes: yesOrNo("deletes") },
  object: { ...ofSettling, from: text("from"), deletes: yesOrNo("deletes") },
  cron: { ...ofSchedule, zone: text("zone") },
  every: ofSchedule,
  http: {
    auth: (value) => ({ auth: value === "none" ? "none" : { accounts: value.split(",") } }),
    body: (value) => ({ body_bytes_max: parseBytes(value) }),
    time: duration("time_ms"),
    cors: list("cors"),
  },
};

function fromOf(value: string): unknown {
  if (value === "new" || value === "all") return value;
  const [, seq] = /^seq:(\d+)$/.exec(value) ?? [];
  return seq === undefined ? { time: value } : { seq: Number(seq) };
}

/** Members that the words before the options say; `undefined` when they are too few or too many. */
function membersOf(kind: Kind, words: readonly string[]): Members | undefined {
  const [first, ...rest] = words;
  if (first === undefined) return undefined;
  switch (kind) {
    case "subject":
      return rest.length === 0 ? { subject: first } : undefined;
    case "stream":
      return { stream: first, ...(rest.length === 0 ? {} : { filters: rest }) };
    case "kv":
      return { bucket: first, ...(rest.length === 0 ? {} : { keys: rest }) };
    case "object":
      return rest.length === 0 ? { bucket: first } : undefined;
    case "cron":
      return { schedule: words.join(" ") };
    case "every":
      return rest.length === 0 ? { schedule: `every ${first}` } : undefined;
    case "http":
      if (rest.length > 1) return undefined;
      return rest[0] === undefined ? { route: first } : { methods: first.split(","), route: rest[0] };
  }
}

/**
 * Parses one trigger.
 *
 * @throws NexError `usage` that shows the form
 */
export function parseTrigger(given: string): TriggerRequest {
  const [head = "", ...others] = given.trim().split(/\s+/);
  if (!Object.hasOwn(forms, head)) {
    throw new NexError("usage", `Cannot use the trigger "${given}": it begins with none of the kinds`, {
      advice: `Its forms are: ${triggerForms.join("; ")}`,
    });
  }
  const kind = head as Kind;
  const words: string[] = [];
  const members: Members = { type: kind === "every" ? "cron" : kind };
  for (const word of others) {
    const [, name = "", value = ""] = /^([a-z-]+)=(.*)$/s.exec(word) ?? [];
    const read = name === "name" ? text("name") : optionsOf[kind][name];
    if (read === undefined) words.push(word);
    else
      Object.assign(
        members,
        readOption(given, kind, word, () => read(value)),
      );
  }
  const found = membersOf(kind, words);
  if (found === undefined) throw misused(given, kind, `its words do not fit`);
  const whole = { ...(kind === "http" ? { auth: "none" } : {}), ...members, ...found };
  const checked = triggersSchema.safeParse([whole]);
  if (checked.success) return checked.data[0] as TriggerRequest;
  const [issue] = checked.error.issues;
  throw misused(given, kind, `${issue?.path.slice(1).join(".")}: ${issue?.message}`);
}

function readOption(given: string, kind: Kind, word: string, read: () => Members): Members {
  try {
    return read();
  } catch (error) {
    throw misused(given, kind, `${word}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function misused(given: string, kind: Kind, why: string): NexError {
  return new NexError("usage", `Cannot use the trigger "${given}": ${why}`, {
    advice: `Its form is: ${forms[kind]}`,
  });
}

/**
 * Reads triggers from a file with a JSON list of them.
 *
 * @throws NexError `file_not_found`, `usage`
 */
export function readTriggers(file: string): TriggerRequest[] {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    const isAbsent = (cause as { code?: unknown }).code !== undefined;
    throw new NexError(
      isAbsent ? "file_not_found" : "usage",
      `Cannot read triggers from "${file}": ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  const checked = triggersSchema.safeParse(content);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new NexError(
    "usage",
    `Cannot use the triggers of "${file}": ${issue?.path.join(".")}: ${issue?.message}`,
    {
      advice: "It is a JSON list of triggers, in the form of nex.triggers of a deploy",
    },
  );
}
