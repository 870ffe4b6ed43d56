/** Facts in the node's own log. */
import type { Logger } from "pino";
import type { FactHandlers, Listener } from "./facts.ts";

export class NodeLog implements Listener {
  readonly facts: FactHandlers;

  constructor(log: Logger) {
    this.facts = {
      node_started: ({ nodeId, tags }) => log.info({ node: nodeId, tags }, "node runs"),
      node_entered_lameduck: () => log.warn("node entered lame duck mode"),
      node_drains: ({ operator, deadlineMs }) =>
        log.warn({ operator, deadline_ms: deadlineMs }, "an operator ends the node"),
      lameduck_refused: (refusal) => log.warn(members(refusal), "lame duck mode refused"),
      deploy_accepted: ({ namespace, name, workloadType, issuer }) =>
        log.info({ namespace, name, type: workloadType, issuer }, "deploy accepted"),
      deploy_refused: (refusal) => log.warn(members(refusal), "deploy refused"),
      stop_accepted: ({ workload: { namespace, id, name }, issuer }) =>
        log.info({ namespace, workload: id, name, issuer }, "stop accepted"),
      stop_refused: (refusal) => log.warn(members(refusal), "stop refused"),
      autostart_refused: (refusal) => log.error(members(refusal), "a workload of autostart did not start"),
      workload_deployed: ({ workload: { id, name, namespace } }) =>
        log.info({ workload: id, name, namespace }, "workload runs"),
      workload_adopted: ({ workload: { id, name, namespace }, adopted, replicas }) =>
        log.info(
          { workload: id, name, namespace, adopted, replicas },
          "workload of the previous node goes on",
        ),
      restore_refused: ({ workloadId, namespace, code, reason }) =>
        log.error(
          { workload: workloadId, namespace, code, reason },
          "workload of the previous node is refused",
        ),
      workload_restarting: ({ workload: { id, name }, reason, delayMs }) =>
        log.warn({ workload: id, name, reason, delayMs }, "workload restarts"),
      workload_unhealthy: ({ workload: { id, name }, reason }) =>
        log.warn({ workload: id, name, reason }, "workload is unhealthy"),
      workload_healthy: ({ workload: { id, name } }) =>
        log.info({ workload: id, name }, "workload is healthy again"),
      workload_disconnected: ({ workload: { id, name }, reason }) =>
        log.warn({ workload: id, name, reason }, "workload lost its connection"),
      workload_undeployed: ({ workload: { id, name }, reason, code }) =>
        log.info({ workload: id, name, reason, code }, "workload ended"),
      trigger_refused: ({ workload: { id, name }, subject }) =>
        log.error(
          { workload: id, name, subject },
          "NATS does not permit the subscription of a trigger; it is tried again",
        ),
      trigger_back: ({ workload: { id, name }, subject }) =>
        log.info({ workload: id, name, subject }, "the subscription of a trigger is permitted again"),
      trigger_failed: ({ workload: { id, name }, trigger, reason }) =>
        log.error({ workload: id, name, trigger, reason }, "a trigger does not fire"),
      trigger_recovered: ({ workload: { id, name }, trigger }) =>
        log.info({ workload: id, name, trigger }, "a trigger fires again"),
      job_ended: ({ workload: { id, name }, ...fact }) =>
        log.info({ workload: id, name, ...members(fact) }, "job ended"),
      message_dead: ({ workload: { id, name }, ...fact }) =>
        log.debug({ workload: id, name, ...members(fact) }, "a message was given up"),
      workload_not_released: ({ workload: { id, name }, reason }) =>
        log.error({ workload: id, name, reason }, "something of a workload is left"),
      replaced_not_stopped: ({ workloadId, reason }) =>
        log.error({ workload: workloadId, reason }, "replaced workload did not stop"),
    };
  }
}

/** The members of a fact without its type, which the message names. */
function members<Told extends object>(fact: Told): Omit<Told, "type"> {
  const { type: _, ...rest } = fact as Told & { type?: unknown };
  return rest;
}
