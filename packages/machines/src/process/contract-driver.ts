import { fileURLToPath } from "node:url";
import { ProcessDriver } from "./driver.ts";

/** Creates the driver for the contract suite. The test guest runs under this Node. */
export function makeDriver(): ProcessDriver {
  const guest = fileURLToPath(new URL("../contract/guest.ts", import.meta.url));
  return new ProcessDriver({ command: [process.execPath, guest] });
}
