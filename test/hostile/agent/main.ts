/** An agent that is hostile where a case wants it, and the real one everywhere else. */
import { parseArgs } from "node:util";
import { FrameType } from "@nexengine/protocol/agent";
import { actions } from "./actions.ts";
import { actionOf } from "./names.ts";
import { Wire } from "./wire.ts";

/** The real agent as a URL; the build puts it in. */
declare const honestAgent: string;

const endMs = 60_000;
const name = actionOf(process.execArgv);
if (name === undefined) await import(honestAgent);
else {
  setTimeout(() => process.exit(), endMs);
  process.on("SIGTERM", () => undefined);
  const wire = await Wire.open(
    parseArgs({ options: { channels: { type: "string", default: "" } } }).values.channels,
  );
  if (name !== "silent undeploy") void wire.first(FrameType.undeploy).then(() => process.exit());
  await actions[name](wire);
}
