import { driverContract } from "../contract/contract.ts";
import { processesOf } from "../contract/host-processes.ts";
import { makeDriver } from "./contract-driver.ts";
import { findDeathPrefix } from "./launcher.ts";

driverContract("process", makeDriver, {
  bootTimeoutMs: 30_000,
  reattach: false,
  recover: false,
  enforces: [],
  exitStatus: true,
  realGuest: true,
  endsWithNode: (await findDeathPrefix()).length > 0 ? "all" : "idle",
  driverModule: new URL("./contract-driver.ts", import.meta.url),
  orphans: processesOf,
});
