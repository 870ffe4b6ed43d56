import { actMs, makeSpec, within } from "@nexengine/testing/internal";
import type { MachineExit } from "../driver.ts";
import { ProcessDriver } from "../process/driver.ts";

/** Test helper: runs a command as a machine until it exits. */
export async function runOnce(command: [string, ...string[]]): Promise<MachineExit> {
  const machine = await new ProcessDriver({ command }).boot(await makeSpec());
  try {
    return await within(machine.exited, actMs, "the exit");
  } finally {
    await machine.destroy();
  }
}
