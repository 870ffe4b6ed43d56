/** The files of the test guest, beside `agent.mjs`, which stands where a rootfs has the agent. */
export const guestFiles: readonly string[] = [
  "guest.ts",
  "guest-channels.ts",
  "guest-commands.ts",
  "guest-actions.ts",
  "guest-network.ts",
  "guest-marks.ts",
  "guest-ports.ts",
  "guest-sockets.ts",
  "pipe.ts",
  "write-all.ts",
  "byte-reader.ts",
];
