/** Why a request over NATS was not answered, told by the class of what the NATS client threw. */
import { errorText, NexError } from "@nexengine/protocol/errors";

/** Causes of causes are looked at up to here. */
const causeDepthMax = 8;

/**
 * Why there is no answer: nobody listens, nobody answered in time, the server does not let this user ask, or
 * anything else, such as a connection that was closed.
 */
export type SilenceKind = "no-responders" | "timeout" | "denied" | "other";

/** Errors are told by their names: a caller's connection can come from another copy of the NATS client. */
const kinds: ReadonlyMap<string, SilenceKind> = new Map([
  ["NoResponders", "no-responders"],
  ["TimeoutError", "timeout"],
  ["PermissionViolationError", "denied"],
]);

/** Classifies a thrown error by itself and by its causes. */
export function silenceKind(thrown: unknown): SilenceKind {
  let at = thrown;
  for (let depth = 0; at instanceof Error && depth < causeDepthMax; depth++) {
    const kind = kinds.get(at.name);
    if (kind !== undefined) return kind;
    at = at.cause;
  }
  return "other";
}

/**
 * The error for a request that the user's permissions, or the state of the connection, did not let through.
 *
 * @param action What was wanted, as the head of the message.
 */
export function notSent(
  cause: unknown,
  action: string,
  ids: Readonly<Record<string, string>> = {},
): NexError {
  if (silenceKind(cause) !== "denied") {
    return new NexError("connection_failed", `${action}: ${errorText(cause)}`, { cause, ids });
  }
  return new NexError(
    "connection_failed",
    `${action}: the NATS server does not permit it (${errorText(cause)})`,
    {
      cause,
      ids,
      advice: "Log in as a user who may, or ask whoever runs the server for the permission",
    },
  );
}
