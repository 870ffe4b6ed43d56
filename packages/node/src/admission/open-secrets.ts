/** Opens what of a deploy was sealed for this node. */
import {
  type CurveKey,
  type Environment,
  environmentBytesMax,
  NexError,
  openEnvironment,
  openJson,
  openRequest,
  type SealedFor,
} from "@nexengine/protocol/internal";

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
}

/**
 * Opens the environment.
 *
 * @param who Who deploys what, as the token and the subject say.
 * @throws NexError `field_missing`, `environment_unreadable`, `malformed_request`, `sealed_for_another`,
 *   `token_unbound`, `feature_missing`
 */
export function openSecrets(parts: SealedParts, who: SealedFor, xkey: CurveKey): Environment {
  const { environment, sealed, sender, bound } = parts;
  if (sealed === undefined) {
    if (environment) return openEnvironment(environment, xkey, sender);
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
  refuseConnections(opened);
  return opened.environment;
}

/**
 * Connections of a request's own come with the host services; until then nobody may rely on them.
 *
 * @throws NexError `feature_missing`
 */
export function refuseConnections(
  request: Partial<
    Record<"trigger_connection" | "host_services", { nats_url?: string | undefined } | undefined>
  >,
): void {
  for (const name of ["trigger_connection", "host_services"] as const) {
    if (request[name]?.nats_url) {
      throw new NexError("feature_missing", `Cannot accept the request: this node does not act on ${name}`);
    }
  }
}
