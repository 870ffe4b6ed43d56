/** The text of a schedule: nicknames, intervals and cron fields, held to what nats-server accepts. */
import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";

/** A field of a schedule: the values that match. */
interface ScheduleField {
  /** In ascending order. */
  values: readonly number[];
  /** Whether the field has a plain `*` or `?`, by which days of month and week are combined. */
  isStar: boolean;
}

/** The six fields of a schedule. */
export interface ScheduleFields {
  /** As nats-server takes them. */
  text: string;
  second: ScheduleField;
  minute: ScheduleField;
  hour: ScheduleField;
  dayOfMonth: ScheduleField;
  month: ScheduleField;
  dayOfWeek: ScheduleField;
}

interface FieldRule {
  name: string;
  min: number;
  max: number;
  /** Names of the values, from `min` on. */
  names?: readonly string[];
}

const second: FieldRule = { name: "second", min: 0, max: 59 };
const minute: FieldRule = { name: "minute", min: 0, max: 59 };
const hour: FieldRule = { name: "hour", min: 0, max: 23 };
const dayOfMonth: FieldRule = { name: "day of month", min: 1, max: 31 };
const month: FieldRule = {
  name: "month",
  min: 1,
  max: 12,
  names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const dayOfWeek: FieldRule = {
  name: "day of week",
  min: 0,
  max: 6,
  names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

const nicknames: Readonly<Record<string, string>> = {
  "@hourly": "0 0 * * * *",
  "@daily": "0 0 0 * * *",
  "@midnight": "0 0 0 * * *",
  "@weekly": "0 0 0 * * 0",
  "@monthly": "0 0 0 1 * *",
  "@yearly": "0 0 0 1 1 *",
  "@annually": "0 0 0 1 1 *",
};

/** Units of an interval: seconds, and how many of the unit the next larger one has. */
const units = [
  { letter: "s", seconds: 1, count: 60 },
  { letter: "m", seconds: 60, count: 60 },
  { letter: "h", seconds: 3_600, count: 24 },
] as const;

/**
 * Reads a schedule: five or six fields, a nickname such as `@daily`, or an interval such as `every 5m`.
 *
 * @throws NexError `trigger_invalid` that names the field and its allowed values.
 */
export function parseScheduleFields(schedule: string): ScheduleFields {
  const text = schedule.trim();
  const interval = /^@?every\s+(.*)$/i.exec(text)?.[1];
  if (interval !== undefined) return parseFields(schedule, fieldsOfInterval(schedule, interval));
  if (text.startsWith("@")) {
    const fields = nicknames[text.toLowerCase()];
    if (fields !== undefined) return parseFields(schedule, fields);
    throw scheduleRefusal(schedule, `the nicknames are ${Object.keys(nicknames).join(", ")}`);
  }
  if (/^(?:CRON_)?TZ=/i.test(text)) {
    throw scheduleRefusal(schedule, "a schedule names no time zone; give it as the zone of the trigger");
  }
  const fields = text.split(/\s+/);
  if (fields.length === 5) fields.unshift("0");
  if (fields.length !== 6) {
    const count = text === "" ? 0 : fields.length;
    const form = "[second] minute hour day-of-month month day-of-week";
    throw scheduleRefusal(schedule, `it has ${count} fields, but five or six are needed: ${form}`);
  }
  return parseFields(schedule, fields.join(" "));
}

/** A refusal of a schedule. */
export function scheduleRefusal(schedule: string, why: string): NexError {
  return new NexError("trigger_invalid", `Cannot use the schedule "${printable(schedule)}": ${why}`);
}

function parseFields(schedule: string, text: string): ScheduleFields {
  const parts = text.split(" ");
  const field = (at: number, rule: FieldRule): ScheduleField => parseField(schedule, parts[at] ?? "", rule);
  return {
    text,
    second: field(0, second),
    minute: field(1, minute),
    hour: field(2, hour),
    dayOfMonth: field(3, dayOfMonth),
    month: field(4, month),
    dayOfWeek: field(5, dayOfWeek),
  };
}

function parseField(schedule: string, field: string, rule: FieldRule): ScheduleField {
  const values = new Set<number>();
  let isStar = false;
  for (const item of field.split(",")) {
    const range = parseItem(item, rule);
    if (range === undefined) throw fieldRefusal(schedule, field, rule);
    // nats-server takes a star with a step for a list.
    isStar ||= range.isStar && range.step === 1;
    for (let value = range.first; value <= range.last; value += range.step) values.add(value);
  }
  return { values: [...values].sort((one, other) => one - other), isStar };
}

interface Item {
  first: number;
  last: number;
  step: number;
  isStar: boolean;
}

/** @param item `*`, `?`, `5`, `mon`, `1-5`, each also with `/step`. */
function parseItem(item: string, rule: FieldRule): Item | undefined {
  const match = /^(\*|\?|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d{1,9}))?$/i.exec(item);
  if (match === null) return undefined;
  const [, from = "", to, stepText] = match;
  const step = Number(stepText ?? 1);
  if (step < 1) return undefined;
  if (from === "*" || from === "?") {
    return to === undefined ? { first: rule.min, last: rule.max, step, isStar: true } : undefined;
  }
  const first = numberOf(from, rule);
  // A single value with a step means: from there to the end.
  const last = to === undefined ? (stepText === undefined ? first : rule.max) : numberOf(to, rule);
  if (first === undefined || last === undefined || first > last) return undefined;
  return { first, last, step, isStar: false };
}

function numberOf(text: string, { min, max, names }: FieldRule): number | undefined {
  const named = names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0) return named + min;
  if (!/^\d{1,4}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

function fieldRefusal(schedule: string, field: string, rule: FieldRule): NexError {
  const { name, min, max, names } = rule;
  const named = names === undefined ? "" : ` or ${names[0]}-${names.at(-1)}`;
  const forms = `*, a value, a range such as ${min}-${max}, a list with commas, each with /step`;
  const advice = rule === dayOfWeek && /7/.test(field) ? "; Sunday is 0" : "";
  return scheduleRefusal(
    schedule,
    `the ${name} "${printable(field)}" is not ${min}-${max}${named} (${forms})${advice}`,
  );
}

/** @param interval `5m`, `1h30m`. */
function fieldsOfInterval(schedule: string, interval: string): string {
  const match = /^(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?$/.exec(interval.trim());
  if (match === null || interval.trim() === "") {
    throw scheduleRefusal(schedule, "an interval is a number with h, m or s, such as 30s, 5m or 2h");
  }
  const [, hours = 0, minutes = 0, seconds = 0] = match;
  const total = Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds);
  const allowed = [...new Set(units.flatMap(intervalsOf))].sort((one, other) => one - other);
  if (!allowed.includes(total)) {
    const below = allowed.findLast((one) => one < total);
    const above = allowed.find((one) => one > total);
    const nearest = [below, above].flatMap((one) => (one === undefined ? [] : intervalText(one)));
    const why = "an interval must divide a minute, an hour or a day evenly";
    throw scheduleRefusal(
      schedule,
      `${why}; the nearest ${nearest.length > 1 ? "are" : "is"} ${nearest.join(" and ")}`,
    );
  }
  return cronOfInterval(total);
}

/** Intervals of a unit that divide the next larger one, in seconds. */
function intervalsOf({ seconds, count }: (typeof units)[number]): number[] {
  return Array.from({ length: count }, (_, at) => at + 1)
    .filter((one) => count % one === 0)
    .map((one) => one * seconds);
}

function cronOfInterval(seconds: number): string {
  const step = (count: number): string => (count === 1 ? "*" : `*/${count}`);
  if (seconds < 60) return `${step(seconds)} * * * * *`;
  if (seconds < 3_600) return `0 ${step(seconds / 60)} * * * *`;
  if (seconds < 86_400) return `0 0 ${step(seconds / 3_600)} * * *`;
  return "0 0 0 * * *";
}

function intervalText(seconds: number): string {
  const unit = units.findLast((one) => seconds % one.seconds === 0) ?? units[0];
  return `${seconds / unit.seconds}${unit.letter}`;
}
