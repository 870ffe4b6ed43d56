/** Errors of drivers. */

/** Error codes of drivers. */
export const machineErrorCodes = [
  "driver_unavailable",
  "boot_failed",
  "limit_not_enforced",
  "network_not_offered",
  "attach_failed",
  "wrong_state",
  "destroy_failed",
  "rootfs_failed",
] as const;
/** Code of a `MachineError`. */
export type MachineErrorCode = (typeof machineErrorCodes)[number];

/** Error thrown by a driver. The message names the action, the machine and its state. */
export class MachineError extends Error {
  override readonly name = "MachineError";
  readonly code: MachineErrorCode;

  constructor(code: MachineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
