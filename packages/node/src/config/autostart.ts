/** What a node starts by itself. */
import { z } from "zod";

const entriesMax = 256;

/** A workload; the reference's members, and `sha256`. */
export const autostartEntrySchema = z.object({
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
  /** Of the artifact, in hex; what is in the bucket is taken as it is without. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, "is not a SHA-256 in hex")
    .optional(),
});
export type AutostartEntry = z.infer<typeof autostartEntrySchema>;

export const autostartSchema = z.object({
  workloads: z.array(autostartEntrySchema).max(entriesMax).default([]),
  /** A file with the seed of the account key that signs, and that can stop them; a throw-away key when absent. */
  issuer_file: z.string().min(1).optional(),
});
