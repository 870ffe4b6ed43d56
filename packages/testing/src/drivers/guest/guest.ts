/**
 * The test guest: a program without dependencies. See `guest-commands.ts` for its commands and `guest-channels.ts`
 * for its channels.
 */

import { actions } from "./guest-actions.ts";
import { guestSessions } from "./guest-channels.ts";
import { obey } from "./guest-commands.ts";
import type { GuestChannels } from "./guest-marks.ts";

// The kernel drops a signal for the first process of a namespace if the process has no handler.
if (process.pid === 1) process.on("SIGTERM", () => process.exit(0));

for await (const session of guestSessions()) await serve(session);
process.exit(0);

async function serve({ frames, attach, call }: GuestChannels): Promise<void> {
  await obey({ frames, attach, call, exit: (code) => process.exit(code), actions });
}
