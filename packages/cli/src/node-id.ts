/** Nodes as people name them. */
import type { NexClient } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { isPublicKey } from "@nexengine/protocol/tokens";

/**
 * The id of a node: given whole, by its beginning, or by its name.
 *
 * @param action Head of the message when there is none, or more than one.
 * @throws NexError `node_not_found`, `ambiguous_name`
 */
export async function nodeIdOf(
  client: NexClient,
  idOrName: string,
  action: string,
  timeoutMs: number,
): Promise<string> {
  if (isPublicKey(idOrName, "N")) return idOrName;
  const nodes = await client.nodes({ timeoutMs });
  const named = nodes.filter(({ tags }) => tags?.["node_name"] === idOrName);
  const found = named.length > 0 ? named : nodes.filter(({ node_id }) => node_id.startsWith(idOrName));
  const [first] = found;
  if (first !== undefined && found.length === 1) return first.node_id;
  const state = found.length === 0 ? "there is no node of this id or name" : `${found.length} nodes have it`;
  throw new NexError(
    found.length === 0 ? "node_not_found" : "ambiguous_name",
    `${action} "${idOrName}": ${state}`,
    { advice: "See which nodes there are with: nex node ls --full" },
  );
}
