/** Connections that a function brings along. */
import { NexError } from "@nexengine/protocol/errors";
import type { RequestConnection } from "@nexengine/protocol/messages";
import type { SealedConnections } from "@nexengine/protocol/tokens";

/** A connection of a workload's own: where it leads, and as whom. See `parseCredentials` for a credentials file. */
export interface WorkloadConnection {
  /** Several with commas; the node's own servers when absent. */
  url?: string;
  /** A user's JWT. */
  jwt?: string;
  /** The seed of the user's key. */
  seed?: string;
}

interface Given {
  name: string;
  triggerConnection?: WorkloadConnection;
  hostServices?: WorkloadConnection;
}

/**
 * The connections as they are sealed.
 *
 * @throws NexError `usage`
 */
export function sealedConnections(
  { name, triggerConnection, hostServices }: Given,
  isFunction: boolean,
): SealedConnections {
  const given = { trigger_connection: encode(triggerConnection), host_services: encode(hostServices) };
  const members = Object.entries(given).filter(([, connection]) => connection !== undefined);
  if (members.length > 0 && !isFunction) {
    throw new NexError(
      "usage",
      `Cannot deploy "${name}": only functions have triggers and host services, to which a connection could belong`,
    );
  }
  return Object.fromEntries(members);
}

function encode(connection: WorkloadConnection | undefined): RequestConnection | undefined {
  const { url = "", jwt = "", seed = "" } = connection ?? {};
  if (url === "" && jwt === "" && seed === "") return undefined;
  return { nats_url: url, nats_user_jwt: jwt.trim(), nats_user_seed: seed.trim() };
}
