/** Where a node's own log goes: the standard error, files, NATS. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { NatsLogin } from "@nexengine/protocol/nats";
import { type Logger, pino } from "pino";
import { colors } from "./colors.ts";
import type { GlobalOptions, LoggerName } from "./global-options.ts";
import { formatRecord, isError, type LogLevelName, type LogRecord, parseRecord } from "./log-format.ts";
import { LogToNats } from "./log-to-nats.ts";

/** A log, and what must be given back after the node. */
export interface NodeLog extends AsyncDisposable {
  readonly log: Logger;
  /** Begins to publish, where that was asked for; what was written until then goes out first. */
  publish(login: NatsLogin, nodeId: string): Promise<void>;
}

type Sink = (record: LogRecord) => void;

/**
 * Makes the log that the options ask for.
 *
 * @throws NexError `file_not_found` when its files can't be written
 */
export function createNodeLog(options: GlobalOptions, level: LogLevelName = options.loglevel): NodeLog {
  const toNats = new LogToNats();
  const line = (record: LogRecord, color: boolean): string =>
    formatRecord(record, { json: options.logjson ?? false, color, timeFormat: options.timeformat });
  const plain = options.logcolor ?? false;
  const sinks: Record<LoggerName, () => Sink> = {
    std: () => (record) =>
      process.stderr.write(`${line(record, options.logcolor ?? colors.isColorSupported)}\n`),
    file: () => fileSink((record) => line(record, plain)),
    nats: () => (record) => toNats.write(line(record, plain), isError(record)),
  };
  const chosen = [...new Set(options.logger)].map((name) => sinks[name]());
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const json of chunk.toString().split("\n")) {
        if (json === "") continue;
        const record = parseRecord(json);
        for (const sink of chosen) sink(record);
      }
      done();
    },
  });
  return {
    log: pino({ level: level === "none" ? "silent" : level }, destination),
    publish: async (login, nodeId) => {
      if (options.logger.includes("nats")) await toNats.open(login, nodeId);
    },
    [Symbol.asyncDispose]: () => toNats.close(),
  };
}

/** `nex.log`, and `nex.err` for errors, in the working directory; lines are added to what is there. */
function fileSink(line: (record: LogRecord) => string): Sink {
  const folder = process.cwd();
  const append = (record: LogRecord | undefined, name: string): void =>
    appendFileSync(join(folder, name), record === undefined ? "" : `${line(record)}\n`, { mode: 0o600 });
  try {
    for (const name of ["nex.log", "nex.err"]) append(undefined, name);
  } catch (cause) {
    throw new NexError("file_not_found", `Cannot write the log into "${folder}": ${errorText(cause)}`, {
      cause,
      advice: "Start it in a folder that can be written, or leave out: --logger file",
    });
  }
  // A disk that is full now must neither end the log for ever nor harm what is logged about.
  let lostLines = 0;
  return (record) => {
    const name = isError(record) ? "nex.err" : "nex.log";
    try {
      if (lostLines > 0)
        appendFileSync(join(folder, name), `${lostLines} lines of the log could not be written\n`);
      lostLines = 0;
      append(record, name);
    } catch {
      lostLines++;
    }
  };
}
