import { test } from "node:test";
import { egressCases } from "../microvm/egress-cases.ts";
import { LabFixture } from "../network/lab-fixture.ts";
import { contractDirectoryVariable, contractOptions } from "./contract-driver.ts";
import { FirecrackerHost } from "./host.ts";
import { completeOptions } from "./options.ts";

const directory = process.env[contractDirectoryVariable];
if (directory === undefined) {
  const skip = "it runs on a host where KVM works: npm run test:firecracker";
  test("firecracker: machines with egress", { skip }, () => undefined);
} else {
  const { egress } = new FirecrackerHost(completeOptions(contractOptions()));
  const module = new URL("./contract-driver.ts", import.meta.url);
  egressCases({
    kind: "firecracker",
    fixture: new LabFixture({ kind: "firecracker", module, bootTimeoutMs: 180_000 }),
    otherNode: { stateDirectory: `${directory}/state-2`, cgroupParent: "nex-contract-2" },
    unmetRequirement: (await egress.unmetRequirement())?.reason,
  });
}
