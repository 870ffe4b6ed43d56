import { after, test } from "node:test";
import { driverContract } from "../contract/contract.ts";
import { microVmAbilities } from "../microvm/contract-abilities.ts";
import { contractDirectoryVariable, makeDriver, orphansOf } from "./contract-driver.ts";

if (process.env[contractDirectoryVariable] === undefined) {
  test(
    "firecracker driver contract",
    { skip: "it runs on a host where KVM works: npm run test:firecracker" },
    () => undefined,
  );
} else {
  const driver = makeDriver();
  after(() => driver.close());
  driverContract(
    "firecracker",
    () => driver,
    microVmAbilities({
      driverModule: new URL("./contract-driver.ts", import.meta.url),
      orphans: orphansOf,
    }),
    process.env["NEX_TEST_FIRECRACKER"] === "long" ? "long" : "short",
  );
}
