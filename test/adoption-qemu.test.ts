/** MicroVMs of QEMU outlive their node. Emulated ones boot for seconds: `npm run test:qemu`. */
import { unmetSandboxRequirement } from "@nexengine/testing";
import { testMicroVmAdoption } from "./support/microvm-adoption.ts";

const isLong = process.env["NEX_TEST_QEMU"] === "long";
const unmet = isLong ? await unmetSandboxRequirement("qemu") : "it takes a minute: npm run test:qemu";
testMicroVmAdoption("qemu", unmet ?? false);
