/** The endorsement of the configuration, which must be of the node that is given it. */
import { errorText, isTimely, NexError, readEndorsement } from "@nexengine/protocol/internal";
import type { Logger } from "pino";

/**
 * Checks that the configuration's endorsement is of this node. One that has expired keeps no node from starting: it is
 * of use to no client, and the log says so.
 *
 * @throws NexError `config_invalid`
 */
export function checkOwnEndorsement(
  endorsement: string | undefined,
  node: { nodeId: string; nexus: string },
  log: Logger,
): void {
  if (endorsement === undefined) return;
  try {
    const claims = readEndorsement(endorsement, node);
    if (!isTimely(claims, Date.now())) {
      log.warn("the endorsement has expired: clients that demand one pass this node by");
    }
  } catch (cause) {
    throw new NexError("config_invalid", `Cannot use the configuration: endorsement: ${errorText(cause)}`, {
      cause,
      advice: `Make one with: nex keys endorse ${node.nodeId} --nexus ${node.nexus} --key FILE`,
    });
  }
}
