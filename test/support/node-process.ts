/**
 * A node in a process of its own, for tests that kill it. Its argument is JSON: the server's URL, the state directory,
 * the kind of machine, and the time that a machine waits for its node. Prints a line when it takes deploys.
 */
import { startTestNode } from "@nexengine/testing";

/** Options of the process. */
export interface NodeProcessOptions {
  server: string;
  directory: string;
  sandbox: "process" | "container";
  nodeLostTimeoutMs: number;
}

const options = JSON.parse(process.argv[2] ?? "{}") as NodeProcessOptions;
const { nodeLostTimeoutMs, ...rest } = options;
const node = await startTestNode({ ...rest, tuning: { nodeLostTimeoutMs } });
process.once("SIGTERM", () => void node.stop());
process.stdout.write(`ready ${node.id}\n`);
