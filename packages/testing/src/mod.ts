/** A real nats-server, a node and sample workloads, each in one `await using` line. */

export { type Compiled, compileC, compileGo, type Report } from "./compile.ts";
export { startTestNatsServer } from "./nats-server.ts";
export {
  newSigner,
  startTestNexus,
  type TestDeployOptions,
  TestNexus,
  type TestNexusOptions,
} from "./nexus.ts";
export { agentBundlePath, startTestNode, type TestNodeOptions } from "./node.ts";
export { echoFunctionPath, echoService, probeService } from "./samples.ts";
