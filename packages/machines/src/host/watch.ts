import { type Fate, readFate } from "./fate.ts";
import type { ProcessIdentity } from "./process-table.ts";
import { holdsWithin } from "./wait.ts";

const pollMs = 100;
const hintMs = 1_000;

/**
 * Settles when a process that is no child of ours has ended: looks again and again, and often after the hint, which
 * comes with the end where the process does not hide it.
 */
export async function watchFate(identity: ProcessIdentity, hint: Promise<void>): Promise<Fate> {
  const ended = Promise.withResolvers<Fate>();
  const look = (): boolean => {
    const fate = readFate(identity);
    if (fate) ended.resolve(fate);
    return fate !== undefined;
  };
  const timer = setInterval(look, pollMs);
  void hint.then(() => holdsWithin(look, hintMs, 10));
  try {
    look();
    return await ended.promise;
  } finally {
    clearInterval(timer);
  }
}
