import { type NexNode, type StepChannel, serveHandOver } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/errors";

/**
 * Hands a node to the process at the other end of a channel.
 *
 * @throws NexError `hand_over_refused` when that has not taken over; the error says whether the node goes on.
 */
export async function handOverTo(node: NexNode, channel: StepChannel): Promise<void> {
  const served = await serveHandOver(node.handOver(), channel);
  if (served === undefined) return;
  const rest = served.goesOn ? "the node goes on as before" : "the node has ended, and its machines wait";
  throw new NexError(
    "hand_over_refused",
    `The new process did not take the node over: ${served.why} (the node's log says more); ${rest}`,
  );
}
