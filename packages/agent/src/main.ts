/** The agent: the program in a machine that runs one workload for its node. */
import { parseArgs } from "node:util";
import { NexError } from "@nexengine/protocol/errors";
import { repairRuntime } from "@nexengine/protocol/node-runtime";
import { openChannels } from "./channels/channels.ts";
import { JavaScriptProvider } from "./javascript/provider.ts";
import { nativeProvider } from "./native/provider.ts";
import type { Provider } from "./provider.ts";
import { Session } from "./session.ts";
import { wasmProvider } from "./wasm/provider.ts";

/** How long the last frames may take to go out. */
const lastFramesMs = 1_000;
const nodeLostTimeoutMsDefault = 60_000;

// The rootfs may hold another Node than the one that the node runs on.
repairRuntime();
const { values } = parseArgs({ options: { channels: { type: "string" } } });
if (values.channels === undefined)
  throw new NexError("usage", "Cannot start the agent: --channels is missing");

const providers: ReadonlyMap<string, Provider> = new Map([
  ["native", nativeProvider({ survivor: values.channels === "fd" })],
  ["v8", new JavaScriptProvider()],
  ["wasm", wasmProvider],
]);

// A node asks by frame; a terminal's signal is for the node.
process.on("SIGINT", () => undefined);
process.on("SIGHUP", () => undefined);
// The console is for people; that nobody reads it harms nothing.
process.stdout.on("error", () => undefined);
process.stderr.on("error", () => undefined);

const nodeLostTimeoutMs = Number(process.env["NEX_NODE_LOST_TIMEOUT_MS"] ?? nodeLostTimeoutMsDefault);
const channels = openChannels(values.channels, { nodeLostTimeoutMs });
const session = new Session(providers, process.cwd(), channels.openCalls);
const leave = async (): Promise<never> => {
  await session.abandon();
  process.exit(0);
};
process.on("SIGTERM", () => void leave());

for await (const frames of channels.frames) {
  if ((await session.serve(frames)) === "undeployed") break;
}
if (!session.undeployed) await leave();
session.close();
setTimeout(() => process.exit(0), lastFramesMs).unref();
