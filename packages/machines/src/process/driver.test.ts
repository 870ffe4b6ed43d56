import {
  driverContract,
  makeProcessDriver,
  processDriverModule,
  processesOf,
} from "@nexengine/testing/internal";
import { findDeathPrefix } from "./launcher.ts";

driverContract("process", makeProcessDriver, {
  bootTimeoutMs: 30_000,
  reattach: false,
  recover: false,
  enforces: [],
  exitStatus: true,
  realGuest: true,
  endsWithNode: (await findDeathPrefix()).length > 0 ? "all" : "idle",
  driverModule: processDriverModule,
  orphans: processesOf,
});
