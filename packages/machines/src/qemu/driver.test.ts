import { after } from "node:test";
import { driverContract, makeQemuDriver, prepareQemu, qemuAbilities } from "@nexengine/testing/internal";

const microVms = await prepareQemu();
const driver = makeQemuDriver();
after(async () => {
  await driver.close();
  await microVms[Symbol.asyncDispose]();
});

if (microVms.unmetRequirement === undefined) {
  driverContract(
    "qemu",
    () => driver,
    qemuAbilities,
    process.env["NEX_TEST_QEMU"] === "long" ? "long" : "short",
  );
}
