/** The error of a failed boot. */
import { MachineError, type MachineErrorCode } from "../errors.ts";

/** Creates the error for a failed boot. */
export function bootFailure(
  id: string,
  why: string,
  { code = "boot_failed", cause }: { code?: MachineErrorCode; cause?: unknown } = {},
): MachineError {
  return new MachineError(code, `Cannot boot machine "${id}": ${why}`, { cause });
}
