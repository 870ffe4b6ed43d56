/** What commands share that stay until they are told to end. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NexError } from "@nexengine/protocol/internal";
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

/** What must be said where workloads are not kept apart. */
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
 */
export async function untilEnded(ended: Promise<void>, stop: () => Promise<void>): Promise<void> {
  let failure: unknown;
  const ask = (): void => {
    stop().catch((error: unknown) => {
      failure = error;
    });
  };
  const signals = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, ask);
  await ended;
  await stop();
  for (const signal of signals) process.off(signal, ask);
  if (failure !== undefined) throw failure;
}
