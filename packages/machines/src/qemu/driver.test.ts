import { after } from "node:test";
import { driverContract } from "../contract/contract.ts";
import { makeDriver, prepareQemu, qemuAbilities } from "./contract-driver.ts";

const microVms = await prepareQemu();
const driver = makeDriver();
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
