/**
 * The test guest as a program without dependencies. See `guest-commands.ts` for what it is told, and
 * `guest-channels.ts` for how it opens its channels.
 */

import { actions } from "./guest-actions.ts";
import { guestSessions } from "./guest-channels.ts";
import { obey } from "./guest-commands.ts";
import type { GuestChannels } from "./guest-marks.ts";

// The kernel keeps signals from the first process of a namespace that does not listen to them.
if (process.pid === 1) process.on("SIGTERM", () => process.exit(0));

for await (const session of guestSessions()) await serve(session);
process.exit(0);

async function serve({ frames, attach, call }: GuestChannels): Promise<void> {
  await obey({ frames, attach, call, exit: (code) => process.exit(code), actions });
}
