/** MicroVMs of Firecracker outlive their node: where KVM works, or in the emulated host of `npm run test:firecracker`. */
import { unmetSandboxRequirement } from "@nexengine/testing";
import { testMicroVmAdoption } from "./support/microvm-adoption.ts";

testMicroVmAdoption("firecracker", (await unmetSandboxRequirement("firecracker")) ?? false);
