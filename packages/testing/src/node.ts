/** A real node for a test. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createDriver, type NexNode, type NodeOptions, startNode } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol";

/** What a test's node is started with: the options of a node, and where its NATS is. */
export interface TestNodeOptions extends Omit<NodeOptions, "driver"> {
  /** URL of the nats-server. */
  server: string;
  driver?: NodeOptions["driver"];
}

/** The agent's bundle, as the build makes it. */
export function agentBundlePath(): string {
  const path = join(import.meta.dirname, "../../../dist/agent.mjs");
  if (!existsSync(path)) {
    throw new NexError("file_not_found", `Cannot start a node: the agent's bundle "${path}" is not built`, {
      advice: "Run: npm run build",
    });
  }
  return path;
}

/** Starts a node with process machines that joins the given server. */
export function startTestNode(options: TestNodeOptions): Promise<NexNode> {
  const { server, driver, login, ...rest } = options;
  return startNode({
    ...rest,
    driver: driver ?? createDriver("process", { agentPath: agentBundlePath() }),
    login: { servers: [server], ...login },
  });
}
