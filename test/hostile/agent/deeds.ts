/** What hostile agents do. */
import { randomBytes } from "node:crypto";
import { FrameType } from "@nexengine/protocol/internal";
import type { DeedName } from "./names.ts";
import type { Wire } from "./wire.ts";

export type Deed = (wire: Wire) => Promise<void> | void;

export const deeds: Record<DeedName, Deed> = {
  garbage: async (wire) => {
    await wire.first(FrameType.attach);
    wire.raw(randomBytes(100_000));
  },
};
