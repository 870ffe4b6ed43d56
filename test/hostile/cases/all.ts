/** Every hostile case. */
import { agentCases } from "./agents.ts";
import type { HostileCase } from "./case.ts";
import { fileCases } from "./files.ts";
import { functionCases } from "./functions.ts";
import { networkCases } from "./network.ts";
import { resourceCases } from "./resources.ts";
import { systemCallCases } from "./system-calls.ts";
import { wasmCases } from "./wasm.ts";

export const hostileCases: readonly HostileCase[] = [
  ...systemCallCases,
  ...fileCases,
  ...networkCases,
  ...resourceCases,
  ...functionCases,
  ...wasmCases,
  ...agentCases,
];
