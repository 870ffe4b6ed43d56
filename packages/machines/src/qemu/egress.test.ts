import { after } from "node:test";
import { egressCases, prepareQemu, qemuDriverModule, SharedLab } from "@nexengine/testing/internal";
import { QemuHost } from "./host.ts";
import { completeOptions } from "./options.ts";

const microVms = await prepareQemu();
after(() => microVms[Symbol.asyncDispose]());
const host = new QemuHost(completeOptions(microVms.options));
const unmet = microVms.unmetRequirement ?? (await host.egress.unmetRequirement())?.reason;

egressCases({
  kind: "qemu",
  lab: new SharedLab({ kind: "qemu", module: qemuDriverModule, bootTimeoutMs: 180_000 }),
  otherNode: { stateDirectory: `${host.settings.stateDirectory}-2` },
  unmetRequirement: unmet,
});
