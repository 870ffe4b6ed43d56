/** Further parts of the node that the sibling packages need beside its public door. */
export * from "./config/config.ts";
export * from "./connections/connect.ts";
export * from "./connections/unsent-bytes.ts";
export * from "./hand-over/messages.ts";
export * from "./hand-over/remote-predecessor.ts";
export * from "./hand-over/serve.ts";
export * from "./mod.ts";
export * from "./sandbox/choose.ts";
export * from "./sandbox/kinds.ts";
export * from "./state/default-directories.ts";
export * from "./state/short-path.ts";
export * from "./state/state-report.ts";
