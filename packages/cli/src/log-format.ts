/** A line of the node's own log: `[INF] 2026-01-31 12:00:00 - message key=value`, or JSON. */
import picocolors from "picocolors";
import { z } from "zod";
import { jsonText, visible } from "./output.ts";
import { formatTime, type TimeFormat } from "./time-format.ts";

/** How loud the log is. */
export const logLevelNames = ["none", "debug", "info", "warn", "error"] as const;
export type LogLevelName = (typeof logLevelNames)[number];

const lineSchema = z.looseObject({ level: z.number(), time: z.number(), msg: z.string().optional() });
const own = new Set(["level", "time", "msg", "pid", "hostname"]);

/** A line as pino gives it. */
export type LogRecord = z.infer<typeof lineSchema>;

/** How lines look. */
export interface LineStyle {
  json: boolean;
  color: boolean;
  timeFormat: TimeFormat;
}

/** Reads one line of pino's JSON. */
export function parseRecord(json: string): LogRecord {
  return lineSchema.parse(JSON.parse(json));
}

/** Is it of the level that goes to `nex.err`? */
export function isError(record: LogRecord): boolean {
  return record.level >= 50;
}

/** One line, without its end. */
export function formatRecord(record: LogRecord, style: LineStyle): string {
  const attributes = Object.entries(record).filter(([key]) => !own.has(key));
  const message = visible(record.msg ?? "");
  const time = new Date(record.time);
  if (style.json) {
    return jsonText({
      level: levelOf(record).name,
      time: time.toISOString(),
      message: record.msg ?? "",
      ...(attributes.length === 0 ? {} : { attrs: Object.fromEntries(attributes) }),
    });
  }
  const { label, color } = levelOf(record);
  const painted = picocolors.createColors(style.color)[color](label);
  const pairs = attributes.map(
    ([key, value]) => `${key}=${typeof value === "string" ? visible(value) : jsonText(value)}`,
  );
  return `[${painted}] ${formatTime(time, style.timeFormat)} - ${[message, ...pairs].join(" ")}`;
}

function levelOf({ level }: LogRecord): {
  name: string;
  label: string;
  color: "red" | "yellow" | "green" | "dim";
} {
  if (level >= 50) return { name: "ERROR", label: "ERR", color: "red" };
  if (level >= 40) return { name: "WARN", label: "WRN", color: "yellow" };
  if (level >= 30) return { name: "INFO", label: "INF", color: "green" };
  return { name: "DEBUG", label: "DBG", color: "dim" };
}
