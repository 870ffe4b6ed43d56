/** Content of the JSON frames. The node validates everything an agent sends; the agent trusts its node. */
import { z } from "zod";

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
