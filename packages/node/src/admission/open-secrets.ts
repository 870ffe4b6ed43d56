/** Opens what of a deploy was sealed for this node. */
import {
  type CurveKey,
  environmentBytesMax,
  NexError,
  openEnvironment,
  openJson,
  openRequest,
  type SealedFor,
  type SealedRequest,
} from "@nexengine/protocol/internal";
import type { OwnConnectionName } from "../connections/own-connection.ts";

/** What came sealed. */
export interface SealedParts {
  /** The reference's member. */
  environment: string | undefined;
  /** Our member. */
  sealed: string | undefined;
  /** Public key. */
  sender: string;
  /** Is the deploy's token bound to it? */
  bound: boolean;
  /** Must everything that is opened name its issuer? */
  requireSealed: boolean;
}

/** What was sealed. */
export type OpenedSecrets = Pick<SealedRequest, "environment" | OwnConnectionName>;

/**
 * Opens the environment, and the connections that were sealed with it.
 *
 * @param who Who deploys what, as the token and the subject say.
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
  // With a loose token of the same issuer, somebody else could choose what gets to see it.
  if (!bound) {
    throw new NexError(
      "token_unbound",
      "Invalid deploy request: what is in nex.sealed is opened for a token only that is bound to its request",
    );
  }
  return opened;
}

/** The box of an environment names no issuer: whoever captured it could put it into a deploy of their own. */
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
