/** Every kind of machine that this host can have passes the same tests. */
import { test } from "node:test";
import { loadMachineContract, unmetSandboxRequirement } from "@nexengine/testing";

const { testMachines } = await loadMachineContract();
for (const sandbox of ["process", "container"] as const) {
  const unmet = await unmetSandboxRequirement(sandbox);
  if (unmet === undefined) await testMachines(sandbox);
  else test(`machines of the kind ${sandbox}`, { skip: unmet }, () => undefined);
}
