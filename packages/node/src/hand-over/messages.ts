/** The messages of a hand-over between two processes. */
import { endedWorkloadSchema } from "@nexengine/protocol/messages";
import { z } from "zod";

/** Grows when a step changes its meaning. Nodes of different versions do not take over from one another. */
export const handOverVersion = 1;

const errorSchema = z.object({ code: z.string(), message: z.string() });

/** A request of the successor. */
export const stepSchema = z.object({
  id: z.number().int(),
  version: z.number().int(),
  step: z.enum(["prepare", "stopListening", "unlock", "release", "finish"]),
  /** The workload to release. */
  workload_id: z.string().max(64).optional(),
});
export type Step = z.infer<typeof stepSchema>;

/** An answer of the running node. */
export const stepAnswerSchema = z.object({
  id: z.number().int(),
  result: z.unknown().optional(),
  error: errorSchema.optional(),
});
export type StepAnswer = z.infer<typeof stepAnswerSchema>;

export const preparedSchema = z.object({ directory: z.string().max(4_096), lameDuck: z.boolean() });

export const releasedSchema = z.array(z.string().max(64)).optional();

export const stoppedListeningSchema = z.object({
  handled: z.array(z.string()),
  ended: z.array(z.object({ namespace: z.string(), ended: endedWorkloadSchema })),
});

/** One end of a channel between the two processes. */
export interface StepChannel {
  send(message: object): void;
  /** Hears messages, and the end of the channel once. */
  listen(hears: { message(message: unknown): void; closed(): void }): void;
}
