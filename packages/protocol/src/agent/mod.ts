/** Frames between a node and the agent in a machine, and the messages in them. */
export { FrameConnection } from "./frame-connection.ts";
export {
  agentProtocolVersion,
  copyBytes,
  FrameDecoder,
  FrameFlag,
  FrameType,
  frameHeaderBytes,
  framePayloadBytesMax,
  PayloadAssembler,
  readU32,
} from "./frames.ts";
export {
  decodeHostCall,
  decodeHostReply,
  encodeHostCall,
  encodeHostReply,
  type HostErrorCode,
  HostMethod,
  type HostReply,
  hostCallBytesMax,
  hostCallHeaderBytes,
} from "./host-call.ts";
export {
  CallError,
  type CallErrorCode,
  type CallFailure,
  callErrorTextBytesMax,
  callHeaderBytesMax,
  checkHeaderBlock,
  deliveryBytesMax,
  type MessageView,
  messageView,
  parseCallFailure,
  type ReplyView,
  readInvocation,
  readResult,
  retryAfterMsMax,
  runTickNs,
  sendCallFailure,
  sendInvocation,
  sendResult,
} from "./invocation.ts";
export { artifactWindowBytes, callWindowMax, logLineBytesMax } from "./limits.ts";
export {
  type Attach,
  type Deploy,
  type Deployed,
  deployedSchema,
  type Exited,
  exitedSchema,
  type Globals,
  type Hello,
  helloSchema,
  type RelayListen,
  type ShownTrigger,
  showTrigger,
  type Undeploy,
  type Welcome,
} from "./messages.ts";
export { breakOff, Relay, relayWindowBytes } from "./relay.ts";
