import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { contractImageIn } from "../microvm/contract-image.ts";
import { FirecrackerDriver } from "./driver.ts";
import { jailsDirectory } from "./layout.ts";

/** Where the suite finds an image of the test guest, Firecracker and the jailer: on a host where KVM works. */
export const contractDirectoryVariable = "NEX_CONTRACT_FIRECRACKER";

/** The driver as the contract suite boots it: the test guest in an image. */
export function makeDriver(): FirecrackerDriver {
  const directory = process.env[contractDirectoryVariable] ?? "";
  return new FirecrackerDriver({
    ...contractImageIn(directory),
    stateDirectory: join(directory, "state"),
    idsDirectory: join(directory, "ids"),
    cgroupParent: "nex-contract",
    program: join(directory, "firecracker"),
    jailer: join(directory, "jailer"),
    memoryBytesDefault: 268_435_456,
    apiTimeoutMs: 60_000,
    attachTimeoutMs: 180_000,
  });
}

/** What is there of machines, for a test's message. Those of templates come and go. */
export function jailsLeft(): string[] {
  const directory = process.env[contractDirectoryVariable] ?? "";
  const jails = jailsDirectory(join(directory, "state"));
  return existsSync(jails) ? readdirSync(jails).filter((id) => !id.startsWith("template")) : [];
}
