/** Settings of a node that is to die at a change of its state directory. */
import { join } from "node:path";
import type { Preload } from "../../support/victim.ts";

export interface KillPointSettings {
  /** The state directory. */
  directory: string;
  /** File beside it that gets a line for each change. */
  log: string;
  /** The change at which it dies; absent when the changes are only listed. */
  kill?: KillPoint;
  /** A change that takes longer, so that whoever does not wait for it goes on before it. */
  slow?: { change: string; ms: number };
}

/** A moment in the life of a node. */
export interface KillPoint {
  /** Line of the change in the log: the call and the path, without what differs from life to life. */
  change: string;
  /** Which of the changes with that line, from 1. */
  occurrence: number;
  moment: "before" | "after";
}

/** The preload of a node that is to die so. */
export function killPointPreload(settings: KillPointSettings): Preload {
  return {
    path: join(import.meta.dirname, "preload.ts"),
    environment: { NEX_TEST_KILL_POINT: JSON.stringify(settings) },
  };
}
