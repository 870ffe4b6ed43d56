/** Probes whether this host can run process machines. */
import type { Fingerprint } from "../driver.ts";
import { hasProcessTable } from "../host/process-table.ts";
import { findProgram } from "../host/program.ts";
import type { ProcessDriverSettings } from "./options.ts";

/** A process machine needs its program and a Unix host. */
export async function fingerprintProcess(
  settings: ProcessDriverSettings,
  deathPrefix: readonly string[],
): Promise<Fingerprint> {
  if (process.platform === "win32") {
    return { available: false, reason: "Windows has no process groups", advice: "Run the node under WSL" };
  }
  const [name] = settings.command;
  const program = await findProgram(name);
  if (program === undefined) {
    return {
      available: false,
      reason: `"${name}" is not an executable file`,
      advice: "Name another program for machines",
    };
  }
  return {
    available: true,
    details: {
      program,
      "ends with its node": deathPrefix.length > 0 ? "always (setpriv)" : "unless it is busy",
      "finds its processes": hasProcessTable ? "by session, descent and directory" : "by process group",
    },
  };
}
