/** Files of the test guest besides `agent.mjs`, which replaces the agent in a rootfs. */
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
