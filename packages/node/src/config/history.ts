/** Configuration of the history: streams that keep logs and events. */
import { z } from "zod";

const mebibyte = 1_048_576;
const gibibyte = 1_073_741_824;
const hoursPerDay = 24;

/** Limits of every stream of the history. The oldest messages go first. */
const streamSchema = z.object({
  /** Maximum age of a message. */
  max_age_hours: z.number().int().min(1).max(87_600),
  /** Maximum size of the stream. */
  max_bytes: z
    .number()
    .int()
    .min(mebibyte)
    .max(1_024 * gibibyte),
  /** Number of servers that have the stream. */
  replicas: z.number().int().min(1).max(5).default(1),
});
const { max_age_hours: age, max_bytes: size } = streamSchema.shape;
const perSubject = z.number().int().min(1).max(10_000_000);

const logsSchema = streamSchema.extend({
  max_age_hours: age.default(7 * hoursPerDay),
  max_bytes: size.default(gibibyte),
  /** Maximum number of lines of each copy of a workload, so that a loud one leaves the lines of others. */
  max_lines_per_workload: perSubject.default(10_000),
});

const eventsSchema = streamSchema.extend({
  max_age_hours: age.default(30 * hoursPerDay),
  max_bytes: size.default(256 * mebibyte),
  /** Maximum number of events of each type, so that those of calls leave the others. */
  max_per_type: perSubject.default(100_000),
});

/** `true` stands for the defaults, `false` for absent. */
function orTrue<Schema extends z.ZodObject>(schema: Schema) {
  const given = (value: unknown): unknown => (value === true ? {} : value === false ? undefined : value);
  type Input = boolean | z.input<Schema> | undefined;
  return z.preprocess<unknown, z.ZodOptional<Schema>, Input>(given, schema.optional());
}

/** Streams of each namespace in which the node has workloads, and of the nodes themselves. None when absent. */
export const historySchema = z.object({
  /** Keeps log lines. */
  logs: orTrue(logsSchema).optional(),
  /** Keeps events. */
  events: orTrue(eventsSchema).optional(),
});
export type HistoryConfig = z.infer<typeof historySchema>;
