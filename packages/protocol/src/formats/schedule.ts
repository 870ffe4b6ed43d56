/**
 * The times of a schedule, as nats-server computes them: every second whose clock time in the zone matches. A clock time
 * that a change of the clock skips has no second, and one that comes twice has two.
 */
import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";
import { parseScheduleFields, type ScheduleFields, scheduleRefusal } from "./schedule-fields.ts";

const secondsPerDay = 86_400;
const secondsPerHour = 3_600;
/** Longest gap between two times: 29 February is missing for eight years around 2100. */
const gapDaysMax = 9 * 366;

/** A schedule whose times are known. */
export interface Schedule {
  /** Six fields, as nats-server takes them. */
  readonly fields: string;
  /** Name of its time zone; `undefined` for UTC. */
  readonly zone: string | undefined;
  /** The first planned time after a moment, both in Unix ms. */
  next(afterMs: number): number;
  /** The latest planned time at or before a moment, both in Unix ms. */
  latest(atMs: number): number;
}

/**
 * Reads a schedule.
 *
 * @param text Five or six cron fields, a nickname such as `@daily`, or an interval such as `every 5m`.
 * @param zone Name of a time zone, such as `Europe/Berlin`; UTC when absent.
 * @throws NexError `trigger_invalid` that says which part is wrong, and what is allowed.
 */
export function parseSchedule(text: string, zone?: string): Schedule {
  const fields = parseScheduleFields(text);
  const offsetAt = zone === undefined ? () => 0 : offsetsOf(text, zone);
  const next = (afterMs: number): number => {
    const found = nextSecond(fields, offsetAt, Math.floor(afterMs / 1000) + 1);
    if (found === undefined) throw scheduleRefusal(text, "no date matches its day and month");
    return found * 1000;
  };
  next(Date.now());
  return { fields: fields.text, zone, next, latest: (atMs) => latest(next, atMs) };
}

/** Searches backwards by `next`, so that both agree. */
function latest(next: (afterMs: number) => number, atMs: number): number {
  const endS = Math.floor(atMs / 1000);
  const isBefore = (startS: number): boolean => next(startS * 1000) <= endS * 1000;
  let spanS = 1;
  while (!isBefore(endS - spanS)) {
    if (spanS > gapDaysMax * secondsPerDay)
      throw new NexError("internal", "Cannot find an earlier time of a schedule");
    spanS *= 2;
  }
  // The time lies after `low`, and not after `high`.
  let low = endS - spanS;
  let high = endS;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isBefore(middle)) low = middle;
    else high = middle;
  }
  return high * 1000;
}

/** @returns the offset of a zone from UTC, in seconds, at a Unix time in seconds. */
type OffsetAt = (unixS: number) => number;

/** @returns `undefined` when nothing matches. @param fromS First candidate, in Unix seconds. */
function nextSecond(fields: ScheduleFields, offsetAt: OffsetAt, fromS: number): number | undefined {
  let at = fromS;
  const endS = fromS + gapDaysMax * secondsPerDay;
  while (at < endS) {
    const offset = offsetAt(at);
    const change = changeWithin(offsetAt, at, at + secondsPerDay);
    const windowEnd = change ?? at + secondsPerDay;
    const clock = nextClockTime(fields, at + offset);
    if (clock !== undefined && clock - offset < windowEnd) return clock - offset;
    if (change !== undefined) at = change;
    else if (clock === undefined) return undefined;
    // Far from the match, changes of the clock move by hours only, so no day before it can match.
    else at = Math.max(windowEnd, clock - offset - secondsPerDay);
  }
  return undefined;
}

/** The first second at which the offset differs, if it differs at the end. */
function changeWithin(offsetAt: OffsetAt, startS: number, endS: number): number | undefined {
  const offset = offsetAt(startS);
  if (offsetAt(endS) === offset) return undefined;
  let low = startS;
  let high = endS;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle) === offset) low = middle;
    else high = middle;
  }
  return high;
}

/** The first matching clock time, on a calendar without changes of the clock. All times are seconds since 1970. */
function nextClockTime(fields: ScheduleFields, fromS: number): number | undefined {
  const firstDay = Math.floor(fromS / secondsPerDay);
  for (let day = firstDay; day < firstDay + gapDaysMax; ) {
    const date = new Date(day * secondsPerDay * 1000);
    if (!fields.month.values.includes(date.getUTCMonth() + 1)) {
      day = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) / (secondsPerDay * 1000);
      continue;
    }
    if (matchesDay(fields, date)) {
      const time = timeOfDay(fields, day === firstDay ? fromS - day * secondsPerDay : 0);
      if (time !== undefined) return day * secondsPerDay + time;
    }
    day++;
  }
  return undefined;
}

/** A restricted day of month and a restricted day of week are alternatives. */
function matchesDay({ dayOfMonth, dayOfWeek }: ScheduleFields, date: Date): boolean {
  const isOfMonth = dayOfMonth.values.includes(date.getUTCDate());
  const isOfWeek = dayOfWeek.values.includes(date.getUTCDay());
  return dayOfMonth.isStar || dayOfWeek.isStar ? isOfMonth && isOfWeek : isOfMonth || isOfWeek;
}

/** The first matching second of a day at or after one. */
function timeOfDay({ hour, minute, second }: ScheduleFields, fromS: number): number | undefined {
  for (const h of hour.values) {
    if ((h + 1) * secondsPerHour <= fromS) continue;
    for (const m of minute.values) {
      const start = h * secondsPerHour + m * 60;
      if (start + 60 <= fromS) continue;
      const s = second.values.find((one) => start + one >= fromS);
      if (s !== undefined) return start + s;
    }
  }
  return undefined;
}

function offsetsOf(schedule: string, zone: string): OffsetAt {
  const format = formatOf(schedule, zone);
  const known = new Map<number, number>();
  return (unixS) => {
    const found = known.get(unixS);
    if (found !== undefined) return found;
    const name = format.formatToParts(unixS * 1000).find(({ type }) => type === "timeZoneName")?.value ?? "";
    const [, sign, hours = 0, minutes = 0, seconds = 0] = /([+-])(\d\d):(\d\d)(?::(\d\d))?/.exec(name) ?? [];
    const size = Number(hours) * secondsPerHour + Number(minutes) * 60 + Number(seconds);
    const offset = sign === "-" ? -size : size;
    if (known.size >= offsetsKnownMax) known.clear();
    known.set(unixS, offset);
    return offset;
  };
}

/** The search for `latest` asks for the same times again. */
const offsetsKnownMax = 256;

/** The server finds zones by files, so their names are compared exactly, and an offset is no name. */
function formatOf(schedule: string, zone: string): Intl.DateTimeFormat {
  const refused = (why: string): NexError =>
    scheduleRefusal(schedule, `the zone "${printable(zone)}" ${why}`);
  if (!/^[A-Za-z]/.test(zone) || zone.length > zoneCharactersMax)
    throw refused("is not a name such as Europe/Berlin or UTC");
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
  } catch {
    throw refused("is not known; use a name such as Europe/Berlin or UTC");
  }
  const { timeZone } = format.resolvedOptions();
  const spelled = zoneNames().get(zone.toLowerCase()) ?? timeZone;
  if (spelled.toLowerCase() === zone.toLowerCase() && spelled !== zone)
    throw refused(`is spelled ${spelled}`);
  return format;
}

const zoneCharactersMax = 64;

function zoneNames(): ReadonlyMap<string, string> {
  return new Map(Intl.supportedValuesOf("timeZone").map((name) => [name.toLowerCase(), name]));
}
