/** Shared code of the commands that run until they are told to end. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/errors";
import { colors as pc } from "./colors.ts";

/** The agent's bundle, beside this command's own. */
export function agentPath(): string {
  const path = join(import.meta.dirname, "agent.mjs");
  if (existsSync(path)) return path;
  throw new NexError("file_not_found", `Cannot start a node: the agent "${path}" is not there`, {
    advice: "Install again, or in a checkout: npm run build",
  });
}

/** The version that we show. */
export function version(): string {
  for (const path of ["../package.json", "../packages/cli/package.json"]) {
    try {
      const { name, version: found } = JSON.parse(readFileSync(join(import.meta.dirname, path), "utf8"));
      if (name === "nexengine" && typeof found === "string") return found;
    } catch {
      // The other layout, then.
    }
  }
  return "development";
}

/** The warning for a node that does not isolate its workloads. */
export function isolationBanner(): string {
  return pc.yellow(
    "┌──────────────────────────────────────────────────────────────────────────────┐\n" +
      "│  Workloads are NOT isolated: they run as plain processes with your rights.   │\n" +
      "│  Run only what you trust.                                                    │\n" +
      "└──────────────────────────────────────────────────────────────────────────────┘",
  );
}

/**
 * Waits until something has ended, asking it to on the first signal. Further ones are passed over, since the first is
 * being obeyed; its waits are bounded.
 *
 * @param ended With the reason where nobody asked for the end.
 * @param failed Settles when something fails without which it can't go on.
 * @throws NexError what it ended with, so that the exit status tells that nobody asked for it.
 */
export async function untilEnded(
  ended: Promise<NexError | undefined>,
  stop: () => Promise<void>,
  failed?: Promise<NexError>,
): Promise<void> {
  let isAsked = false;
  let failure: unknown;
  const end = (): void => {
    stop().catch((error: unknown) => {
      failure ??= error;
    });
  };
  const ask = (): void => {
    isAsked = true;
    end();
  };
  const signals = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, ask);
  void failed?.then((error) => {
    if (isAsked) return;
    failure ??= error;
    end();
  });
  const reason = await ended;
  await stop().catch((error: unknown) => {
    failure ??= error;
  });
  for (const signal of signals) process.off(signal, ask);
  if ((failure ?? reason) !== undefined) throw failure ?? reason;
}
