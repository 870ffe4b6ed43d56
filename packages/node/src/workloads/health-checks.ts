/** The kinds of health checks. */
import type { NatsConnection } from "@nats-io/nats-core";
import { errorText } from "@nexengine/protocol/errors";
import { errorCodeHeader, errorHeader, functionTypes } from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";
import type { Budget } from "../budget/budget.ts";
import { callForHealth } from "../functions/health-call.ts";
import type { Machine } from "../machines/machine.ts";
import type { ReportedWorkload } from "../telemetry/facts.ts";
import type { Reporter } from "../telemetry/reporter.ts";
import { relayedPorts } from "./deploy-message.ts";
import type { Check, CheckResult } from "./machine-health.ts";
import type { WorkloadSpec } from "./spec.ts";
import { type HealthSpec, WorkloadHealth } from "./workload-health.ts";

const passed: CheckResult = { is: "passed" };
/** Timeout of a request beyond that of its check, which decides. */
const requestMarginMs = 1_000;
const reasonCharactersMax = 200;

const failed = (reason: string): CheckResult => ({
  is: "failed",
  reason: printable(reason, reasonCharactersMax),
});

/** The health of a workload; `undefined` without a check. @param connection The connection that asks on a subject */
export function healthOf(
  workload: ReportedWorkload,
  spec: Pick<WorkloadSpec, "type" | "limits" | "health" | "replicas">,
  { budget, reporter }: { budget: Budget; reporter: Reporter },
  connection: NatsConnection,
): WorkloadHealth | undefined {
  const { health, replicas } = spec;
  if (health === undefined) return undefined;
  const { check: _, ...times } = health;
  const checkOf = (machine: Machine): Check => makeCheck({ ...spec, health }, machine, connection);
  const slots = budget.checks.share();
  return new WorkloadHealth({ workload, times, replicas, checkOf, reporter, slots });
}

function makeCheck(
  spec: Pick<WorkloadSpec, "type" | "limits"> & { health: HealthSpec },
  machine: Machine,
  connection: NatsConnection,
): Check {
  const { check, timeoutMs } = spec.health;
  if (check.type === "tcp") return portCheck(machine, check.port, relayedPorts(spec).indexOf(check.port));
  if (functionTypes.has(spec.type)) return functionCheck(machine, check.subject);
  return subjectCheck(connection, check.subject, timeoutMs);
}

/** Calls the function of a machine on one of its trigger subjects. */
function functionCheck(machine: Machine, subject: string): Check {
  return async (signal) => {
    const failure = await callForHealth(machine, subject, signal);
    return failure === undefined ? passed : failed(failure);
  };
}

/** Connects to a port of a machine. @param index Place of the port in the machine's deploy. */
function portCheck(machine: Machine, port: number, index: number): Check {
  return async (signal) => {
    const found = await machine.agent.probePort(index, signal);
    if (found === "open") return passed;
    if (found === "closed") {
      return failed(`${signal.aborted ? "no connection" : "nobody accepts connections"} at port ${port}`);
    }
    return { is: "skipped", reason: "its machine has no room for another connection" };
  };
}

/**
 * Asks on a subject. Any reply passes, except one with the status of an error. While the NATS server itself does not
 * answer, the check is skipped: that is no fault of the service.
 */
function subjectCheck(connection: NatsConnection, subject: string, timeoutMs: number): Check {
  return async (signal) => {
    let isServerThere = false;
    connection.flush().then(
      () => {
        isServerThere = true;
      },
      () => undefined,
    );
    const asked = connection.request(subject, "", { timeout: timeoutMs + requestMarginMs });
    asked.catch(() => undefined);
    const ended = new Promise<undefined>((resolve) => {
      signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    try {
      const reply = await Promise.race([asked, ended]);
      if (reply !== undefined) {
        const code = reply.headers?.get(errorCodeHeader);
        const text = reply.headers?.get(errorHeader);
        if (!code && !text) return passed;
        return failed(`the reply is an error: ${[code, text].filter(Boolean).join(" ")}`);
      }
    } catch (error) {
      const text = errorText(error);
      if (/no responders/i.test(text)) return failed(`nobody answers on ${subject}`);
      if (isServerThere) return failed(text);
    }
    return isServerThere
      ? failed(`no answer on ${subject} within ${timeoutMs} ms`)
      : { is: "skipped", reason: "the NATS server does not answer" };
  };
}
