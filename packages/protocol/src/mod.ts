/** Parts of the wire format that users of the client need. */
export { type ErrorCode, errorCatalogue, exitStatus, type Fault, NexError } from "./errors.ts";
export type { Feature, NodeExtras, Sandbox } from "./messages/features.ts";
export type { CloudEvent, EventType, LogLevel, LogLine } from "./messages/feeds.ts";
export type { Limits, Network, PublishedPort } from "./messages/limits.ts";
export type {
  AuctionRequest,
  InfoResponse,
  MachineInfo,
  PingResponse,
  Tags,
  WorkloadPingResponse,
  WorkloadType,
} from "./messages/node.ts";
export type { RunResponse, StopResponse } from "./messages/workload.ts";
export type { NatsLogin } from "./nats/login.ts";
export type { NatsTls } from "./nats/tls.ts";
export { type NatsCredentials, parseCredentials } from "./nats/user.ts";
export { workloadNameOfFile } from "./subjects/names.ts";
export {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  type NewKeyKind,
  type Signer,
  signerOfSeed,
} from "./tokens/keys.ts";
export type { Environment } from "./tokens/sealed-environment.ts";
