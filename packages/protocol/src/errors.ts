/**
 * The error catalogue: every condition that Nex reports, with its fault and its exit status for scripts. On the wire,
 * the code is in the failing envelope's `nex.code`.
 */

/** Who is at fault: the user, the system, or the workload. */
export type Fault = "user" | "system" | "workload";

/**
 * Exit statuses of commands.
 *
 * 0 success, 1 an error in Nex itself, 2 wrong usage, 3 no connection, 4 not found, 5 refused by a node, or by the
 * client before it sent anything, 6 no node accepts, 7 no answer in time, 8 a workload failed, 130 interrupted.
 */
export const exitStatus = {
  ok: 0,
  internal: 1,
  usage: 2,
  connection: 3,
  notFound: 4,
  refused: 5,
  noNode: 6,
  timeout: 7,
  workload: 8,
  interrupted: 130,
} as const;

interface Entry {
  fault: Fault;
  exit: number;
  /** One sentence for the reference page: when this code is used. */
  when: string;
}

const entry = (fault: Fault, exit: number, when: string): Entry => ({ fault, exit, when });

/** All codes, in the order of the reference page. */
export const errorCatalogue = {
  // The request itself
  malformed_request: entry("user", 5, "The body is not the JSON object that the subject expects"),
  request_too_large: entry("user", 5, "The body, or one member of it, is over a size limit"),
  field_missing: entry("user", 5, "A member that the request must contain is absent, null or empty"),
  feature_missing: entry(
    "user",
    5,
    "The request requires a feature or a value that this node does not support",
  ),
  namespace_invalid: entry(
    "user",
    5,
    "The namespace is not one subject token of 1 to 64 bytes, or is reserved",
  ),
  namespace_unlisted: entry(
    "user",
    5,
    "The node's configuration lists namespaces, and this one is not among them",
  ),
  name_invalid: entry("user", 5, "The workload name does not match [a-zA-Z0-9_-]+"),
  request_not_canonical: entry(
    "user",
    5,
    "The body is ambiguous, so it can't be signed: a duplicate name, or a lone surrogate",
  ),
  // Tokens and trust
  token_invalid: entry("user", 5, "A token can't be decoded, has a bad signature, or is not valid now"),
  token_wrong_use: entry("user", 5, "A token made for one use was presented for another"),
  token_unbound: entry(
    "user",
    5,
    "The node, or the requested action, requires a token that is bound to its request",
  ),
  token_for_another: entry(
    "user",
    5,
    "A bound token was signed for another request: other content, another node, namespace or workload",
  ),
  token_already_used: entry("user", 5, "A bound token was used before; it is valid once"),
  replay_memory_full: entry("system", 5, "The node remembers the maximum number of used tokens"),
  issuer_not_allowed: entry("user", 5, "The issuer is not among those that the node accepts"),
  stop_token_cloned: entry("user", 5, "The stop token is the deploy token, or a copy of it"),
  stop_subject_mismatch: entry("user", 5, "The stop token names another workload"),
  stop_issuer_mismatch: entry("user", 5, "The stop token was signed by another issuer than the deploy token"),
  environment_unreadable: entry(
    "user",
    5,
    "The sealed environment can't be opened, or is not a map of strings",
  ),
  sealed_for_another: entry(
    "user",
    5,
    "The sealed content is for another issuer, namespace or name than the request's",
  ),
  xkey_proof_invalid: entry(
    "system",
    5,
    "A node's proof of its xkey is invalid, or is absent although it is required",
  ),
  endorsement_invalid: entry(
    "system",
    5,
    "A node is not endorsed by the key that the client requires, or its endorsement is for something else",
  ),
  operator_required: entry(
    "user",
    5,
    "The node accepts this request only from an operator that its configuration names",
  ),
  // Admission
  lame_duck: entry("user", 5, "The node is in lame duck mode and accepts no workloads"),
  hand_over_refused: entry(
    "system",
    5,
    "A node can't be handed over to another process now, or was given away and not taken",
  ),
  workload_limit: entry("user", 5, "The node runs its maximum number of workloads"),
  replace_refused: entry(
    "user",
    5,
    "The workload to replace does not run on the node for this issuer and namespace, or the token is not bound",
  ),
  unsupported_type: entry("user", 5, "The node does not run workloads of this type"),
  triggers_not_supported: entry("user", 5, "The workload can't have a trigger of this kind"),
  triggers_required: entry("user", 5, "A function needs at least one trigger"),
  trigger_denied: entry(
    "user",
    5,
    "A trigger subject is on a deny list, always denied, or not permitted by NATS",
  ),
  trigger_invalid: entry(
    "user",
    5,
    "A trigger is malformed: a subject that is not one, a schedule that is not one, a number out of bounds",
  ),
  trigger_source_missing: entry(
    "user",
    4,
    "The stream, bucket or object store of a trigger does not exist, or not as the trigger needs it",
  ),
  trigger_failed: entry("system", 5, "A trigger can't be made ready: the NATS server refuses what it needs"),
  route_taken: entry("user", 5, "Another workload has the route of an HTTP trigger"),
  no_such_dead_letter: entry("user", 4, "The namespace has no dead letter of this number"),
  history_missing: entry(
    "user",
    4,
    "No stream keeps the logs or events of the namespace, or it does not let them be read",
  ),
  no_such_trigger: entry("user", 4, "The workload has no trigger of this name"),
  limits_invalid: entry("user", 5, "A limit is out of bounds, or conflicts with another one"),
  limit_too_high: entry("user", 5, "The workload requests more than the node's maximum for a workload"),
  limit_not_enforced: entry(
    "user",
    5,
    "The node's sandbox can't enforce this limit, or provide this network",
  ),
  health_invalid: entry("user", 5, "A health check is out of bounds, or does not fit the workload"),
  health_denied: entry("user", 5, "The subject of a health check is on a deny list, or always denied"),
  egress_refused: entry("user", 5, "A name of the allow-list has no address that a workload may reach"),
  port_taken: entry("user", 5, "A port to publish is used by another program"),
  connection_not_allowed: entry(
    "user",
    5,
    "A connection in the request leads to a server that the node does not allow",
  ),
  connection_limit: entry("system", 5, "The node holds its maximum number of per-request connections"),
  connection_unavailable: entry(
    "system",
    5,
    "The node's connection for this namespace, or for host services, is down",
  ),
  no_ready_machine: entry("system", 5, "No machine became ready in time"),
  // Artifacts
  artifact_not_found: entry("user", 4, "The bucket or object does not exist"),
  artifact_unavailable: entry(
    "system",
    5,
    "The artifact can't be read: JetStream is disabled, or the transfer failed",
  ),
  artifact_digest_mismatch: entry("user", 5, "The artifact's digest differs from the signed digest"),
  artifact_too_large: entry("user", 5, "The artifact exceeds a size limit of the node"),
  artifact_invalid: entry("user", 5, "The artifact is not valid for a workload of this type"),
  // Workloads
  workload_rejected: entry("user", 5, "The agent refused the workload"),
  workload_not_started: entry("system", 5, "The agent did not answer in time, or its machine exited"),
  workload_not_ready: entry(
    "workload",
    8,
    "The workload's first health check did not pass in time, or it exited before",
  ),
  no_such_workload: entry("user", 4, "This node has no such workload in this namespace"),
  stop_failed: entry("system", 1, "The workload could not be stopped"),
  // Calls of functions
  function_bad_call: entry("user", 8, "The call can't be delivered to the function"),
  function_timed_out: entry("workload", 8, "The call exceeded its time limit"),
  function_overloaded: entry("workload", 8, "The function's call queue is full"),
  function_threw: entry("workload", 8, "The function threw, or its return value can't be a reply"),
  function_stopped: entry("workload", 8, "The function stopped before it answered the call"),
  workload_ended: entry("workload", 8, "A service exited, or was restarted, right after it was deployed"),
  // Client and command line
  usage: entry("user", 2, "The command line or an option is invalid"),
  connection_failed: entry("user", 3, "The NATS server can't be reached, or refuses the login"),
  node_not_found: entry("user", 4, "No node with this id answers"),
  answer_unreadable: entry("system", 1, "A node's answer does not fit the request"),
  node_silent: entry("system", 7, "The node did not answer in time"),
  no_node: entry("user", 6, "No node accepts the workload"),
  file_not_found: entry("user", 4, "A given file does not exist, or can't be read"),
  key_invalid: entry("user", 2, "A key is malformed, or not of the required kind"),
  upload_failed: entry("system", 5, "The artifact could not be put into the object store"),
  ambiguous_name: entry("user", 2, "The name matches more than one workload"),
  config_invalid: entry("user", 2, "The configuration file is invalid"),
  sandbox_unavailable: entry("system", 5, "The requested sandbox is not available on this host"),
  rootfs_failed: entry("system", 5, "A rootfs could not be built or read, or does not match its manifest"),
  install_failed: entry(
    "system",
    5,
    "The files for microVMs could not be downloaded, or have an unexpected digest",
  ),
  nats_server_missing: entry("system", 5, "No nats-server could be found or fetched"),
  nats_server_too_old: entry("user", 5, "A nats-server is older than the version that Nex requires"),
  nats_server_port_taken: entry("user", 3, "The port of the nats-server is used by another program"),
  nats_server_failed: entry("system", 3, "The nats-server did not start, or exited"),
  state_locked: entry("user", 5, "Another node uses the state directory"),
  state_unusable: entry("user", 5, "The state directory can't be created, read or written"),
  agent_protocol: entry("system", 1, "An agent violated the frame protocol"),
  wrong_state: entry("system", 1, "An operation is not possible in the current state"),
  timeout: entry("system", 7, "A wait reached its limit"),
  internal: entry("system", 1, "An error in Nex itself"),
} as const satisfies Record<string, Entry>;

/** A code of the catalogue. */
export type ErrorCode = keyof typeof errorCatalogue;

/** Whether a text, which may come from the wire, is one of our codes. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(errorCatalogue, text);
}

/** Options of a `NexError`, in addition to code and message. */
export interface NexErrorOptions {
  cause?: unknown;
  /** Ids of the affected things: `node`, `workload`, `namespace`. Never a secret. */
  ids?: Readonly<Record<string, string>>;
  /** Next step for the user. */
  advice?: string;
}

/** The only error class of Nex. Its message says the action, the thing and its state. */
export class NexError extends Error {
  override readonly name = "NexError";
  readonly code: ErrorCode;
  readonly ids: Readonly<Record<string, string>>;
  readonly advice: string | undefined;

  constructor(code: ErrorCode, message: string, options: NexErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.ids = options.ids ?? {};
    this.advice = options.advice;
  }

  get fault(): Fault {
    return errorCatalogue[this.code].fault;
  }

  /** Exit status of a command that fails with this error. */
  get exit(): number {
    return errorCatalogue[this.code].exit;
  }
}

/**
 * Converts anything thrown to a `NexError`; a `NexError` is returned as is.
 *
 * @param code Code for anything that is not a `NexError`.
 * @param action Failed action, as the start of the message.
 */
export function toNexError(thrown: unknown, code: ErrorCode = "internal", action?: string): NexError {
  if (thrown instanceof NexError) return thrown;
  const text = errorText(thrown);
  return new NexError(code, action === undefined ? text : `${action}: ${text}`, { cause: thrown });
}

/** Message of anything thrown. */
export function errorText(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name;
  return String(thrown);
}
