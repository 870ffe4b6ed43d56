import { after } from "node:test";
import { egressCases } from "../microvm/egress-cases.ts";
import { LabFixture } from "../network/lab-fixture.ts";
import { prepareQemu } from "./contract-driver.ts";
import { QemuHost } from "./host.ts";
import { completeOptions } from "./options.ts";

const microVms = await prepareQemu();
after(() => microVms[Symbol.asyncDispose]());
const host = new QemuHost(completeOptions(microVms.options));
const unmet = microVms.unmetRequirement ?? (await host.egress.unmetRequirement())?.reason;
const module = new URL("./contract-driver.ts", import.meta.url);

egressCases({
  kind: "qemu",
  fixture: new LabFixture({ kind: "qemu", module, bootTimeoutMs: 180_000 }),
  otherNode: { stateDirectory: `${host.settings.stateDirectory}-2` },
  unmetRequirement: unmet,
});
