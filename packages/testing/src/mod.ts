/** A real nats-server, a node and sample workloads, each in one `await using` line. */
export { startTestNatsServer } from "./nats-server.ts";
export { agentBundlePath, startTestNode, type TestNodeOptions } from "./node.ts";
