/** Content of the JSON frames. The node validates everything an agent sends; the agent trusts its node. */
import { z } from "zod";
import type { NamedTrigger } from "../messages/triggers.ts";

/** node → agent, the first message of an epoch. */
export interface Attach {
  protocol: number;
  epoch: number;
}

/** agent → node: the workload has exited. */
export const exitedSchema = z.object({
  /** Exit status; absent if a signal killed the workload or it never started. */
  code: z.number().int().min(-1).max(255).optional(),
  signal: z.string().max(16).optional(),
  message: z.string().max(1024).optional(),
});
export type Exited = z.infer<typeof exitedSchema>;

/** agent → node: answers an attach. */
export const helloSchema = z.object({
  protocol: z.number().int(),
  /** Random value chosen when the agent starts. Clones of a snapshot share it. */
  instance: z.string().max(64),
  lastEpoch: z.number().int().min(0),
  providers: z.array(z.string().max(16)).max(16),
  /** The workload that was deployed in an earlier epoch. */
  running: z
    .object({
      workloadId: z.string().max(64),
      /** Number of calls the function accepts at once. */
      concurrency: z.number().int().min(1).max(1024).optional(),
      /** How it exited, if it did. */
      exit: exitedSchema.optional(),
    })
    .optional(),
});
export type Hello = z.infer<typeof helloSchema>;

/** node → agent: the agent is accepted. */
export interface Welcome {
  epoch: number;
}

/** Lifetime of a function's globals: one call, or as long as the machine. */
export type Globals = "fresh" | "keep";

/** A trigger as its function may see it. */
export type ShownTrigger = { name: string } & (
  | { type: "subject"; subject: string }
  | { type: "stream"; stream: string }
  | { type: "kv" | "object"; bucket: string }
  | { type: "cron"; schedule: string; zone: string }
  | { type: "http"; route: string }
);

/** The part of a trigger that its function may see. How messages are settled and who may call is the node's. */
export function showTrigger(trigger: NamedTrigger): ShownTrigger {
  const { name } = trigger;
  switch (trigger.type) {
    case "subject":
      return { type: "subject", name, subject: trigger.subject };
    case "stream":
      return { type: "stream", name, stream: trigger.stream };
    case "kv":
    case "object":
      return { type: trigger.type, name, bucket: trigger.bucket };
    case "cron":
      return { type: "cron", name, schedule: trigger.schedule, zone: trigger.zone ?? "UTC" };
    case "http":
      return { type: "http", name, route: trigger.route };
  }
}

/** node → agent: run the artifact that was sent. */
export interface Deploy {
  workloadId: string;
  name: string;
  namespace: string;
  type: string;
  artifactBytes: number;
  argv: string[];
  environment: Record<string, string>;
  /** For functions; the provider's default when absent. */
  globals?: Globals;
  /** Maximum number of concurrent calls, if the function allows concurrency. */
  concurrency: number;
  /** Memory of the machine; absent if unlimited. */
  memoryBytesMax?: number;
  /** Triggers of a function. A call names one by its place in this list. Absent from nodes without typed triggers. */
  triggers?: ShownTrigger[];
  /** Maximum size of a function's source. */
  sourceBytesMax: number;
  /** Addresses in the machine to listen on, for streams to targets of the node. */
  listen?: RelayListen[];
  /** Ports of the machine that the node may open streams to. A target is an index into this list. */
  ports?: number[];
}

/** An address in the machine that stands for a server outside. */
export interface RelayListen {
  address: string;
  port: number;
  /** Target number that the node assigned to the server. */
  target: number;
}

/** agent → node: answers a deploy. */
export const deployedSchema = z.object({
  accepted: z.boolean(),
  /** Reason for a refusal, as text. */
  message: z.string().max(4096).optional(),
  /** Number of calls the function accepts at once. */
  concurrency: z.number().int().min(1).max(1024).optional(),
});
export type Deployed = z.infer<typeof deployedSchema>;

/** node → agent: stop the workload, then the machine. */
export interface Undeploy {
  graceMs: number;
}
