/** The node's own log on a terminal: `[INF] 2026-01-31 12:00:00 - message key=value`. */
import { Writable } from "node:stream";
import { type Logger, pino } from "pino";
import { z } from "zod";
import { colors as pc } from "./colors.ts";

/** How loud the log is. */
export const logLevelNames = ["none", "debug", "info", "warn", "error"] as const;
export type LogLevelName = (typeof logLevelNames)[number];

const lineSchema = z.looseObject({ level: z.number(), time: z.number(), msg: z.string().optional() });
const own = new Set(["level", "time", "msg", "pid", "hostname"]);

/** A logger that writes readable lines, or JSON, to the standard error. */
export function createLogger(level: LogLevelName, json: boolean): Logger {
  const options = { level: level === "none" ? "silent" : level };
  if (json) return pino(options, process.stderr);
  const readable = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split("\n"))
        if (line !== "") process.stderr.write(`${formatLine(line)}\n`);
      done();
    },
  });
  return pino(options, readable);
}

/** One line of pino's JSON as people read it. */
export function formatLine(json: string): string {
  const line = lineSchema.parse(JSON.parse(json));
  const rest = Object.entries(line)
    .filter(([key]) => !own.has(key))
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `[${label(line.level)}] ${timestamp(new Date(line.time))} - ${[line.msg ?? "", ...rest].join(" ")}`;
}

function label(level: number): string {
  if (level >= 50) return pc.red("ERR");
  if (level >= 40) return pc.yellow("WRN");
  return level >= 30 ? pc.green("INF") : pc.dim("DBG");
}

/** Local time to the second. */
export function timestamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
