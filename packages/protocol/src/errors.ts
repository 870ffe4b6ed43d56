/**
 * The error catalogue: every condition that Nex reports, whose fault it is, and the exit status that tells scripts
 * the same. On the wire a code stands in the failing envelope's `nex.code`.
 */

/** Whose fault a condition is: the person who asked, the system, or the workload that ran. */
export type Fault = "user" | "system" | "workload";

/**
 * What the exit status of a command says.
 *
 * 0 success, 1 a fault of Nex itself, 2 wrong usage, 3 no connection, 4 not found, 5 refused by a node or by the
 * client before anything was sent, 6 no node accepts, 7 no answer in time, 8 a workload failed, 130 interrupted.
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
  /** One sentence for the reference: when this code is used. */
  when: string;
}

const entry = (fault: Fault, exit: number, when: string): Entry => ({ fault, exit, when });

/** Every code, in the order of the reference page. */
export const errorCatalogue = {
  // The request itself
  malformed_request: entry("user", 5, "The body is not the JSON object that the subject expects"),
  request_too_large: entry("user", 5, "The body, or one member of it, is over a size limit"),
  field_missing: entry("user", 5, "A member that the request must contain is absent, null or empty"),
  feature_missing: entry(
    "user",
    5,
    "The request relies on a feature, or a value, that this node does not have",
  ),
  namespace_invalid: entry(
    "user",
    5,
    "The namespace is not one subject token of 1 to 64 bytes, or is reserved",
  ),
  namespace_unlisted: entry("user", 5, "The node's configuration has namespaces, and not this one"),
  name_invalid: entry("user", 5, "The workload name does not match [a-zA-Z0-9_-]+"),
  request_not_canonical: entry(
    "user",
    5,
    "The body has no one meaning that could have been signed: a name twice, or half of a surrogate pair",
  ),
  // Tokens and trust
  token_invalid: entry("user", 5, "A token can't be decoded, has a bad signature, or is not valid now"),
  token_wrong_use: entry("user", 5, "A token made for one use was presented for another"),
  token_unbound: entry(
    "user",
    5,
    "The node, or what is asked for, demands a token that is bound to its request",
  ),
  token_for_another: entry(
    "user",
    5,
    "A bound token was made for another request: other content, another node, namespace or workload",
  ),
  token_already_used: entry("user", 5, "A bound token was accepted before; it serves once"),
  replay_memory_full: entry("system", 5, "The node remembers as many used tokens as it may"),
  issuer_not_allowed: entry("user", 5, "The issuer is not among those that the node accepts"),
  stop_token_cloned: entry("user", 5, "The stop token is the deploy token, or a copy of it"),
  stop_subject_mismatch: entry("user", 5, "The stop token names another workload"),
  stop_issuer_mismatch: entry("user", 5, "The stop token was signed by somebody else than the deploy token"),
  environment_unreadable: entry(
    "user",
    5,
    "The sealed environment can't be opened, or is not a map of strings",
  ),
  sealed_for_another: entry(
    "user",
    5,
    "What was sealed is for another issuer, namespace or name than the request's",
  ),
  xkey_proof_invalid: entry(
    "system",
    5,
    "A node's proof of its xkey is absent where it must be there, or wrong",
  ),
  endorsement_invalid: entry(
    "system",
    5,
    "A node is not endorsed by the key that the client was given, or its endorsement is of something else",
  ),
  operator_required: entry("user", 5, "The node does this only for an operator that its configuration names"),
  // Admission
  lame_duck: entry("user", 5, "The node takes no more workloads"),
  workload_limit: entry("user", 5, "The node runs as many workloads as it may"),
  replace_refused: entry(
    "user",
    5,
    "The workload to be replaced is not one of this issuer and namespace that runs on the node, or the token is not bound",
  ),
  unsupported_type: entry("user", 5, "The node does not run workloads of this type"),
  triggers_not_supported: entry("user", 5, "Only functions have triggers"),
  triggers_required: entry("user", 5, "A function needs at least one trigger subject"),
  trigger_denied: entry(
    "user",
    5,
    "A trigger subject is on a deny list, always denied, or not permitted by NATS",
  ),
  trigger_invalid: entry("user", 5, "A trigger subject is not a NATS subject"),
  limits_invalid: entry("user", 5, "A limit is out of bounds, or does not go with another one"),
  limit_too_high: entry("user", 5, "The workload asks for more than the node gives to one"),
  limit_not_enforced: entry("user", 5, "The node's sandbox can't hold this limit, or give this network"),
  egress_refused: entry("user", 5, "A name of the allow-list has no address that a workload may be given"),
  port_taken: entry("user", 5, "A port that was to be published belongs to another program"),
  connection_not_allowed: entry(
    "user",
    5,
    "A connection that the request brings along leads where the node lets none lead",
  ),
  connection_limit: entry("system", 5, "The node holds as many connections of requests as it may"),
  connection_unavailable: entry(
    "system",
    5,
    "The connection by which the node acts for this namespace, or for host services, is not there",
  ),
  no_ready_machine: entry("system", 5, "No machine became ready in time"),
  // Artifacts
  artifact_not_found: entry("user", 4, "There is no such bucket or object"),
  artifact_unavailable: entry(
    "system",
    5,
    "The artifact can't be read: JetStream is off, or the transfer broke",
  ),
  artifact_digest_mismatch: entry("user", 5, "The artifact is not the one that was signed"),
  artifact_too_large: entry("user", 5, "The artifact is over a size limit of the node"),
  artifact_invalid: entry("user", 5, "The artifact is not something that a workload of this type can be"),
  // Workloads
  workload_rejected: entry("user", 5, "The agent refused the workload"),
  workload_not_started: entry("system", 5, "The agent did not answer in time, or its machine ended"),
  no_such_workload: entry("user", 4, "This node has no such workload in this namespace"),
  stop_failed: entry("system", 1, "The workload could not be stopped"),
  // Calls of functions
  function_bad_call: entry("user", 8, "The call can't be given to the function"),
  function_timed_out: entry("workload", 8, "The call ran into its time limit"),
  function_overloaded: entry("workload", 8, "More calls wait for the function than its queue holds"),
  function_threw: entry("workload", 8, "The function threw, or what it returned can't be a reply"),
  function_stopped: entry("workload", 8, "The function ended before the call was answered"),
  workload_ended: entry("workload", 8, "A service ended, or was restarted, right after it was deployed"),
  // Client and command line
  usage: entry("user", 2, "The command line, or an option, is wrong"),
  connection_failed: entry("user", 3, "The NATS server can't be reached, or refuses the login"),
  node_not_found: entry("user", 4, "Nobody answers under this node id"),
  answer_unreadable: entry("system", 1, "What a node answered is no answer to the request"),
  node_silent: entry("system", 7, "The node did not answer in time"),
  no_node: entry("user", 6, "No node accepts the workload"),
  file_not_found: entry("user", 4, "A file that was named is not there, or can't be read"),
  key_invalid: entry("user", 2, "A key is not of the kind that is needed here"),
  upload_failed: entry("system", 5, "The artifact could not be put into the object store"),
  ambiguous_name: entry("user", 2, "The name fits more than one workload"),
  config_invalid: entry("user", 2, "The configuration file can't be used"),
  sandbox_unavailable: entry("system", 5, "The wanted sandbox can't be had on this host"),
  rootfs_failed: entry("system", 5, "A rootfs could not be built or read, or is not what its manifest says"),
  install_failed: entry(
    "system",
    5,
    "What microVMs need could not be downloaded, or is not what was expected",
  ),
  nats_server_missing: entry("system", 5, "No nats-server could be found or fetched"),
  nats_server_too_old: entry("user", 5, "A nats-server is older than what Nex needs"),
  nats_server_port_taken: entry("user", 3, "The port for the nats-server belongs to another program"),
  nats_server_failed: entry("system", 3, "The nats-server did not start, or ended"),
  state_locked: entry("user", 5, "Another node uses the state directory"),
  state_unusable: entry("user", 5, "The state directory can't be made, read or written"),
  agent_protocol: entry("system", 1, "An agent broke the frame protocol"),
  wrong_state: entry("system", 1, "A thing was asked for something that it can't do in its state"),
  timeout: entry("system", 7, "A wait reached its limit"),
  internal: entry("system", 1, "A fault of Nex itself"),
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof errorCatalogue;

/** Is this text, which may come from the wire, one of our codes? */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(errorCatalogue, text);
}

/** Options of a `NexError` beside its code and message. */
export interface NexErrorOptions {
  cause?: unknown;
  /** Ids of the things it is about: `node`, `workload`, `namespace`. Never a secret. */
  ids?: Readonly<Record<string, string>>;
  /** What the person can do next. */
  advice?: string;
}

/** The one error of Nex. Its message says the action, the thing and its state. */
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

  /** The status with which a command that met this error ends. */
  get exit(): number {
    return errorCatalogue[this.code].exit;
  }
}

/**
 * Makes a `NexError` of whatever was thrown; a `NexError` stays itself.
 *
 * @param thrown Anything.
 * @param code The code for what is not a `NexError` yet.
 * @param action What failed, as the head of the message.
 */
export function toNexError(thrown: unknown, code: ErrorCode = "internal", action?: string): NexError {
  if (thrown instanceof NexError) return thrown;
  const text = errorText(thrown);
  return new NexError(code, action === undefined ? text : `${action}: ${text}`, { cause: thrown });
}

/** The message of whatever was thrown. */
export function errorText(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name;
  return String(thrown);
}
