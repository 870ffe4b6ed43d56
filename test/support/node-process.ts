/**
 * A node in a process of its own, for tests that kill it. Its argument is JSON: the server's URL, the state directory,
 * the kind of machine, and the time that a machine waits for its node. Prints a line when it takes deploys.
 */
import type { NodeConfigInput, NodeOptions } from "@nexengine/node/internal";
import { startTestNode } from "@nexengine/testing";
import { pino } from "pino";

/** Options of the process. */
export interface NodeProcessOptions {
  server: string;
  directory: string;
  sandbox: "process" | "container" | "qemu" | "firecracker";
  nodeLostTimeoutMs: number;
  ephemeral?: boolean;
  identityFile?: string;
  tuning?: NonNullable<NodeOptions["tuning"]>;
  config?: NodeConfigInput;
}

const options = JSON.parse(process.argv[2] ?? "{}") as NodeProcessOptions;
const { nodeLostTimeoutMs, tuning, ...rest } = options;
const log =
  process.env["NEX_TEST_NODE_LOG"] === undefined ? {} : { log: pino({ level: "debug" }, process.stderr) };
const node = await startTestNode({ ...rest, ...log, tuning: { nodeLostTimeoutMs, ...tuning } });
process.once("SIGTERM", () => void node.stop());
process.stdout.write(`ready ${node.id}\n`);
