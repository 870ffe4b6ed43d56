import { test } from "node:test";
import {
  contractDirectoryVariable,
  contractOptions,
  egressCases,
  firecrackerDriverModule,
  SharedLab,
} from "@nexengine/testing/internal";
import { FirecrackerHost } from "./host.ts";
import { completeOptions } from "./options.ts";

const directory = process.env[contractDirectoryVariable];
if (directory === undefined) {
  const skip = "it runs on a host where KVM works: npm run test:firecracker";
  test("firecracker: machines with egress", { skip }, () => undefined);
} else {
  const { egress } = new FirecrackerHost(completeOptions(contractOptions()));
  egressCases({
    kind: "firecracker",
    lab: new SharedLab({ kind: "firecracker", module: firecrackerDriverModule, bootTimeoutMs: 180_000 }),
    otherNode: { stateDirectory: `${directory}/state-2`, cgroupParent: "nex-contract-2" },
    unmetRequirement: (await egress.unmetRequirement())?.reason,
  });
}
