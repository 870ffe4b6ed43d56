/** The options of a deploy that say how its health is checked. */
import type { HealthCheck } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { type Command, InvalidArgumentError } from "commander";
import { parseDuration, positive } from "./option-values.ts";

/** The options as commander gives them. */
export interface HealthOptions {
  health?: Pick<HealthCheck, "subject" | "tcp">;
  healthInterval?: number;
  healthTimeout?: number;
  healthThreshold?: number;
  healthStart?: number;
}

/** Adds the options to a command that deploys. */
export function addHealthOptions(command: Command): Command {
  return command
    .option(
      "--health <check>",
      "when it is healthy: subject:SUBJECT, a request on it is answered, or tcp:PORT, a port of it accepts connections",
      parseHealth,
    )
    .option("--health-interval <duration>", "time between checks; 10s unless told otherwise", parseDuration)
    .option("--health-timeout <duration>", "timeout of a check; 2s unless told otherwise", parseDuration)
    .option(
      "--health-threshold <n>",
      "failures in a row until it is replaced; 3 unless told otherwise",
      positive,
    )
    .option(
      "--health-start <duration>",
      "time for the first check to pass, or the deploy fails; 10s unless told otherwise",
      parseDuration,
    );
}

/** `subject:shop.ping` or `tcp:8080`. */
export function parseHealth(text: string): Pick<HealthCheck, "subject" | "tcp"> {
  const [, kind, value = ""] = /^(subject|tcp):(.+)$/.exec(text) ?? [];
  if (kind === "subject") return { subject: value };
  const port = Number(value);
  if (kind === "tcp" && /^\d{1,5}$/.test(value) && port >= 1 && port <= 65_535) return { tcp: port };
  throw new InvalidArgumentError("A health check looks like subject:shop.ping or tcp:8080.");
}

/**
 * The check that the options say; `undefined` when they say none.
 *
 * @throws NexError `usage`
 */
export function healthOf(options: HealthOptions): HealthCheck | undefined {
  const times: Omit<HealthCheck, "subject" | "tcp"> = {
    ...(options.healthInterval === undefined ? {} : { intervalMs: options.healthInterval }),
    ...(options.healthTimeout === undefined ? {} : { timeoutMs: options.healthTimeout }),
    ...(options.healthThreshold === undefined ? {} : { threshold: options.healthThreshold }),
    ...(options.healthStart === undefined ? {} : { startMs: options.healthStart }),
  };
  if (options.health !== undefined) return { ...options.health, ...times };
  if (Object.keys(times).length === 0) return undefined;
  throw new NexError("usage", "Cannot set times of a health check without one", {
    advice: "Name the check with: --health subject:SUBJECT or --health tcp:PORT",
  });
}
