import { fileURLToPath } from "node:url";
import { ProcessDriver } from "@nexengine/machines/internal";

/** This module, for programs that make the driver themselves. */
export const driverModule: URL = new URL(import.meta.url);

/** Creates the driver for the contract suite. The test guest runs under this Node. */
export function makeDriver(): ProcessDriver {
  const guest = fileURLToPath(new URL("./guest/guest.ts", import.meta.url));
  return new ProcessDriver({ command: [process.execPath, guest] });
}
