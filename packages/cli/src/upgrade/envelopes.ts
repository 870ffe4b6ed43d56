/** The messages between the first process of a node and its successors. */
import { z } from "zod";

/** Tells a process that its parent is the first process of a node that it takes over. */
export const takeOverVariable = "NEX_TAKE_OVER";

/** The program that is to become the node, and its first arguments; those of the running node follow. */
export const programSchema = z.array(z.string().max(4_096)).min(1).max(64);
export type Program = z.infer<typeof programSchema>;

/**
 * - `step`: a message of the hand-over, which the first process passes on between the two others.
 * - `spawn`: the node asks for a successor. - `spawned`: it runs.
 * - `closed`: the other end of the hand-over is gone.
 * - `handed_over`: the node is the successor's now, and its own process ends.
 */
export const envelopeSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("step"), body: z.looseObject({}) }),
  z.object({ kind: z.literal("spawn"), program: programSchema }),
  z.object({ kind: z.literal("spawned"), pid: z.number().int() }),
  z.object({ kind: z.literal("closed") }),
  z.object({ kind: z.literal("handed_over") }),
]);
export type Envelope = z.infer<typeof envelopeSchema>;
