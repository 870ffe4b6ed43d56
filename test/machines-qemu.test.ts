/** The same tests as for other kinds of machine, on real microVMs. */
import { test } from "node:test";
import { loadMachineContract, sandboxLack } from "@nexengine/testing";

const { testMachines } = await loadMachineContract();
const lack = await sandboxLack("qemu");
if (lack === undefined) await testMachines("qemu");
else test("machines of the kind qemu", { skip: lack }, () => undefined);
