/** Deploy to a nexus, list its nodes, call functions, and watch logs and events. */
export {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  type ErrorCode,
  type NatsCredentials,
  NexError,
  parseCredentials,
  type Signer,
  signerOfSeed,
} from "@nexengine/protocol";
export type { TriggerRequest, TriggerStatus } from "@nexengine/protocol/messages";
export type { Artifact, LocalArtifact, StoredArtifact } from "./artifact.ts";
export type { CallOptions, CallReply } from "./call.ts";
export {
  type ClientOptions,
  connectNex,
  type EndedDetails,
  type InfoWanted,
  NexClient,
  type RecentLine,
  type WorkloadDetails,
  type WorkloadPlace,
} from "./client.ts";
export { type DeadLetter, DeadLetterBox, type DeadLetterFilter } from "./dead-letters.ts";
export type { Deployment, DeployOptions, WorkloadAt } from "./deploy.ts";
export type { EventEntry, LogEntry, LogFilter, LogSelection } from "./entries.ts";
export type { Feed, FeedOptions } from "./feed.ts";
export type { HealthCheck } from "./health.ts";
export type { HistoryOptions, LogHistoryOptions } from "./history/history.ts";
export type { HistoryFeed } from "./history/history-feed.ts";
export type { LameDuckOptions } from "./lame-duck.ts";
export type { LeftTrigger } from "./left-triggers.ts";
export type { WorkloadLimits } from "./limits.ts";
export type { WorkloadConnection } from "./per-request-connections.ts";
export type { ScatterOptions } from "./scatter.ts";
export type { Fallback } from "./session.ts";
export type { StopOptions } from "./stop.ts";
export type { TriggerActionOptions } from "./trigger-action.ts";
export type { Uploaded, UploadOptions } from "./upload.ts";
