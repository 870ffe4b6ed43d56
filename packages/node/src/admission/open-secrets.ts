/** Opens what was sealed for this node. */
import { NexError } from "@nexengine/protocol/errors";
import {
  type CurveKey,
  environmentBytesMax,
  openEnvironment,
  openJson,
  openRequest,
  type SealedFor,
  type SealedRequest,
} from "@nexengine/protocol/tokens";
import type { PerRequestConnectionName } from "../connections/per-request-connection.ts";

/** The sealed parts of a deploy. */
export interface SealedParts {
  /** Member of Go Nex. */
  environment: string | undefined;
  /** Our member. */
  sealed: string | undefined;
  /** Public key of the sender. */
  sender: string;
  /** Whether the deploy's token is bound to its request. */
  bound: boolean;
  /** Whether everything that is opened must name its issuer. */
  requireSealed: boolean;
}

/** The opened parts. */
export type OpenedSecrets = Pick<SealedRequest, "environment" | PerRequestConnectionName>;

/**
 * Opens the environment and the per-request connections.
 *
 * @param who Issuer, namespace and name, from token and subject.
 * @throws NexError `field_missing`, `environment_unreadable`, `malformed_request`, `sealed_for_another`,
 *   `token_unbound`
 */
export function openSecrets(parts: SealedParts, who: SealedFor, xkey: CurveKey): OpenedSecrets {
  const { environment, sealed, sender, bound, requireSealed } = parts;
  if (sealed === undefined) {
    if (environment) return { environment: openPlain(environment, sender, requireSealed, xkey) };
    throw new NexError("field_missing", "Invalid deploy request: environment is missing");
  }
  if (environment && openJson(environment, environmentBytesMax, xkey, sender) !== null) {
    throw new NexError(
      "malformed_request",
      "Invalid deploy request: environment and nex.sealed both hold an environment",
    );
  }
  const opened = openRequest(sealed, who, xkey, sender);
  // With a legacy token of the same issuer, somebody else could choose the workload that gets the secrets.
  if (!bound) {
    throw new NexError(
      "token_unbound",
      "Invalid deploy request: what is in nex.sealed is opened for a token only that is bound to its request",
    );
  }
  return opened;
}

/** The box of an environment names no issuer: whoever captured it could put it into another deploy. */
function openPlain(
  box: string,
  sender: string,
  requireSealed: boolean,
  xkey: CurveKey,
): OpenedSecrets["environment"] {
  const environment = openEnvironment(box, xkey, sender);
  if (!requireSealed || Object.keys(environment).length === 0) return environment;
  throw new NexError(
    "token_unbound",
    "Invalid deploy request: the environment is not bound to its issuer, as this node demands",
    { advice: "Send it in nex.sealed, with a client that knows the feature sealed-request" },
  );
}
