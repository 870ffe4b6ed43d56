import { within } from "../contract/expect.ts";
import { makeSpec } from "../contract/spec.ts";
import { actMs } from "../contract/test-machine.ts";
import type { MachineExit } from "../driver.ts";
import { ProcessDriver } from "./driver.ts";

/** Test helper: runs a command as a machine until it exits. */
export async function runOnce(command: [string, ...string[]]): Promise<MachineExit> {
  const machine = await new ProcessDriver({ command }).boot(await makeSpec());
  try {
    return await within(machine.exited, actMs, "the exit");
  } finally {
    await machine.destroy();
  }
}
