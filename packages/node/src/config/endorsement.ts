/** Checks the configured endorsement of a node. */
import { errorText, NexError } from "@nexengine/protocol/errors";
import { isTimely, readEndorsement } from "@nexengine/protocol/tokens";
import type { Logger } from "pino";

/**
 * Checks that the endorsement is for this node. An expired one does not keep the node from starting: clients ignore it,
 * and the log says so.
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
