/** The same tests as for other kinds of machine, on real microVMs. */
import { test } from "node:test";
import { loadMachineContract, unmetSandboxRequirement } from "@nexengine/testing";

const { testMachines } = await loadMachineContract();
const unmet = await unmetSandboxRequirement("qemu");
if (unmet === undefined) await testMachines("qemu");
else test("machines of the kind qemu", { skip: unmet }, () => undefined);
