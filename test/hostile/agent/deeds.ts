/** What hostile agents do. */
import { deployDeeds } from "./deeds-deploy.ts";
import { escapeDeeds } from "./deeds-escape.ts";
import { functionDeeds } from "./deeds-function.ts";
import { helloDeeds } from "./deeds-hello.ts";
import { hostCallDeeds } from "./deeds-host-calls.ts";
import { relayDeeds } from "./deeds-relay.ts";
import { runningDeeds } from "./deeds-running.ts";

export const deeds = {
  ...helloDeeds,
  ...deployDeeds,
  ...runningDeeds,
  ...functionDeeds,
  ...relayDeeds,
  ...escapeDeeds,
  ...hostCallDeeds,
};
export type DeedName = keyof typeof deeds;
