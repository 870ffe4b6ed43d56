import { after } from "node:test";
import { driverContract } from "../contract/contract.ts";
import { processesOf } from "../contract/host-processes.ts";
import { makeDriver, prepareQemu } from "./contract-driver.ts";

const microVms = await prepareQemu();
const driver = makeDriver();
after(async () => {
  await driver.close();
  await microVms[Symbol.asyncDispose]();
});

if (microVms.lack === undefined) {
  driverContract(
    "qemu",
    () => driver,
    {
      bootTimeoutMs: 180_000,
      reattach: true,
      recover: true,
      copies: true,
      enforces: ["memoryBytes", "vcpus", "processes", "diskBytes"],
      exitStatus: true,
      realGuest: true,
      endsWithNode: "none",
      driverModule: new URL("./contract-driver.ts", import.meta.url),
      leftovers: processesOf,
    },
    process.env["NEX_TEST_QEMU"] === "long" ? "long" : "short",
  );
}
