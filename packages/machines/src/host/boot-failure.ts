import { MachineError, type MachineErrorCode } from "../errors.ts";

/** Why a machine can't be booted. */
export function bootFailure(
  id: string,
  why: string,
  { code = "boot_failed", cause }: { code?: MachineErrorCode; cause?: unknown } = {},
): MachineError {
  return new MachineError(code, `Cannot boot machine "${id}": ${why}`, { cause });
}
