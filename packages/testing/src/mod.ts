/** A real nats-server, a node and sample workloads, each in one `await using` line. */

export { type Compiled, compileC, compileGo } from "./compile.ts";
export { assemble, compileWasm } from "./compile-wasm.ts";
export { installContainerTools, prepareMicroVms, type Report } from "./install.ts";
export { startTestNatsServer } from "./nats-server.ts";
export {
  newSigner,
  startTestNexus,
  type TestDeployOptions,
  TestNexus,
  type TestNexusOptions,
} from "./nexus.ts";
export {
  agentBundlePath,
  startTestNode,
  type TestNodeOptions,
  testDriverFiles,
  unmetSandboxRequirement,
} from "./node.ts";
export { commandLineOf, daemonsRunning, eventOf, filesBelow, logsOf, until } from "./observe.ts";
export { echoFunctionPath, echoService, probeService, visitorService } from "./samples.ts";

/**
 * Loads the tests that every kind of machine passes. On demand, because they import `node:test`, and a program that
 * wants a nexus does not.
 */
export async function loadMachineContract(): Promise<typeof import("./machine-contract.ts")> {
  return await import("./machine-contract.ts");
}
