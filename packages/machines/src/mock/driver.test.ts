import { driverContract } from "../contract/contract.ts";
import { makeDriver } from "./contract-driver.ts";

driverContract("mock", makeDriver, {
  bootTimeoutMs: 5_000,
  reattach: true,
  recover: true,
  enforces: ["memoryBytes", "vcpus", "processes", "diskBytes"],
  exitStatus: true,
  realGuest: false,
  endsWithNode: "none",
  orphans: () => [],
});
