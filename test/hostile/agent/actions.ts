/** The actions of hostile agents. */
import { deployActions } from "./actions-deploy.ts";
import { escapeActions } from "./actions-escape.ts";
import { functionActions } from "./actions-function.ts";
import { helloActions } from "./actions-hello.ts";
import { hostCallActions } from "./actions-host-calls.ts";
import { relayActions } from "./actions-relay.ts";
import { runningActions } from "./actions-running.ts";

export const actions = {
  ...helloActions,
  ...deployActions,
  ...runningActions,
  ...functionActions,
  ...relayActions,
  ...escapeActions,
  ...hostCallActions,
};
export type ActionName = keyof typeof actions;
