/** The same tests as for other kinds of machine, on Firecracker: where KVM works, or in an emulated host. */
import { test } from "node:test";
import { loadMachineContract, unmetSandboxRequirement } from "@nexengine/testing";

const { testMachines } = await loadMachineContract();
const unmet = await unmetSandboxRequirement("firecracker");
if (unmet === undefined) await testMachines("firecracker");
else test("machines of the kind firecracker", { skip: unmet }, () => undefined);
