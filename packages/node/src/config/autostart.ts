/** Configuration of autostart. */
import { triggersSchema } from "@nexengine/protocol/messages";
import { z } from "zod";

const entriesMax = 256;

/** A workload: the members of Go Nex, and `sha256`. */
const autostartEntrySchema = z
  .object({
    name: z.string().min(1),
    namespace: z.string().min(1),
    argv: z.array(z.string()).optional(),
    description: z.string().optional(),
    essential: z.boolean().optional(),
    type: z.string().min(1),
    /** An object in a bucket: `nats://BUCKET/KEY`. */
    location: z.string().min(1),
    jsdomain: z.string().optional(),
    environment: z.record(z.string(), z.string()).optional(),
    trigger_subjects: z.array(z.string()).optional(),
    /** SHA-256 of the artifact in hex; any object is accepted without it. */
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, "is not a SHA-256 in hex")
      .optional(),
    /** Triggers of every kind, as in `nex.triggers` of a deploy. They take `sha256`. */
    triggers: triggersSchema.optional(),
  })
  .refine(({ triggers, sha256 }) => triggers === undefined || sha256 !== undefined, {
    path: ["sha256"],
    message: "is missing: triggers are signed together with the artifact",
  });
export type AutostartEntry = z.infer<typeof autostartEntrySchema>;

export const autostartSchema = z.object({
  workloads: z.array(autostartEntrySchema).max(entriesMax).default([]),
  /** File with the seed of the account key that signs the workloads and can stop them; a temporary key when absent. */
  issuer_file: z.string().min(1).optional(),
});
