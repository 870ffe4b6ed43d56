/** The files of the test guest, beside `agent.mjs`, which stands where a rootfs has the agent. */
export const guestFiles: readonly string[] = [
  "guest.ts",
  "guest-channels.ts",
  "guest-commands.ts",
  "guest-deeds.ts",
  "guest-network.ts",
  "guest-ports.ts",
  "byte-reader.ts",
];
