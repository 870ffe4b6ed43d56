import { after, test } from "node:test";
import {
  contractDirectoryVariable,
  driverContract,
  firecrackerDriverModule,
  makeFirecrackerDriver,
  microVmAbilities,
  orphansOfFirecracker,
} from "@nexengine/testing/internal";

if (process.env[contractDirectoryVariable] === undefined) {
  test(
    "firecracker driver contract",
    { skip: "it runs on a host where KVM works: npm run test:firecracker" },
    () => undefined,
  );
} else {
  const driver = makeFirecrackerDriver();
  after(() => driver.close());
  driverContract(
    "firecracker",
    () => driver,
    microVmAbilities({
      driverModule: firecrackerDriverModule,
      orphans: orphansOfFirecracker,
    }),
    process.env["NEX_TEST_FIRECRACKER"] === "long" ? "long" : "short",
  );
}
