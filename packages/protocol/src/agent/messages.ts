/** What the JSON frames say. The node checks all that an agent says; an agent believes its node. */
import { z } from "zod";

/** node → agent, the first word of an epoch. */
export interface Attach {
  protocol: number;
  epoch: number;
}

/** agent → node: answers an attach. */
export const helloSchema = z.object({
  protocol: z.number().int(),
  /** Random, made at the agent's start; clones of a snapshot share it. */
  instance: z.string().max(64),
  lastEpoch: z.number().int().min(0),
  providers: z.array(z.string().max(16)).max(16),
});
export type Hello = z.infer<typeof helloSchema>;

/** node → agent: the agent is accepted. */
export interface Welcome {
  epoch: number;
}

/** How long the globals of a function live. */
export type Globals = "fresh" | "keep";

/** node → agent: run what came as the artifact. */
export interface Deploy {
  workloadId: string;
  name: string;
  namespace: string;
  type: string;
  artifactBytes: number;
  argv: string[];
  environment: Record<string, string>;
  /** Of functions; the provider's default when absent. */
  globals?: Globals;
  /** How many calls may overlap, where the function allows it. */
  concurrency: number;
  /** What the machine may use; absent where nothing limits it. */
  memoryBytesMax?: number;
  /** The longest source text of a function. */
  sourceBytesMax: number;
  /** Where to listen in the machine, for streams to targets of the node. */
  listen?: RelayListen[];
  /** The machine's ports that the node may open streams to: a target is a place in this list. */
  ports?: number[];
}

/** A place in the machine that stands for a server outside. */
export interface RelayListen {
  address: string;
  port: number;
  /** The node's name for the server. */
  target: number;
}

/** agent → node: answers a deploy. */
export const deployedSchema = z.object({
  accepted: z.boolean(),
  /** Why not, for people. */
  message: z.string().max(4096).optional(),
  /** How many calls the function takes at once. */
  concurrency: z.number().int().min(1).max(1024).optional(),
});
export type Deployed = z.infer<typeof deployedSchema>;

/** node → agent: end the workload, then the machine. */
export interface Undeploy {
  graceMs: number;
}

/** agent → node: the workload has ended. */
export const exitedSchema = z.object({
  /** The exit status; absent when a signal ended it or it never started. */
  code: z.number().int().min(-1).max(255).optional(),
  signal: z.string().max(16).optional(),
  message: z.string().max(1024).optional(),
});
export type Exited = z.infer<typeof exitedSchema>;
