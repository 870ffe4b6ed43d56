import { fileURLToPath } from "node:url";
import { ProcessDriver } from "./driver.ts";

/** The driver as the contract suite boots it: the test guest under this very Node. */
export function makeDriver(): ProcessDriver {
  const guest = fileURLToPath(new URL("../contract/guest.ts", import.meta.url));
  return new ProcessDriver({ command: [process.execPath, guest] });
}
