/** Answers the steps of a successor in another process. */
import { NexError, toNexError } from "@nexengine/protocol/errors";
import type { HandOver } from "./hand-over.ts";
import { handOverVersion, type Step, type StepAnswer, type StepChannel, stepSchema } from "./messages.ts";

/** Time within which a successor must ask for its next step. */
const idleMsMax = 120_000;

/**
 * Hands a node over to the process at the other end of a channel.
 *
 * @returns once that process has taken over, or is gone. `undefined` in the first case, otherwise why not and whether the
 *   node goes on.
 */
export async function serveHandOver(
  handOver: HandOver,
  channel: StepChannel,
): Promise<{ why: string; goesOn: boolean } | undefined> {
  /** Settles with the reason when the hand-over failed. */
  const over = Promise.withResolvers<string>();
  let isOver = false;
  let stepsInProgress = 0;
  let idle: NodeJS.Timeout | undefined;
  const waitForStep = (): void => {
    clearTimeout(idle);
    idle = setTimeout(
      () => over.resolve(`the new process has asked for nothing for ${idleMsMax / 1_000} s`),
      idleMsMax,
    );
  };
  waitForStep();
  channel.listen({
    message: (message) => {
      if (isOver) return;
      clearTimeout(idle);
      stepsInProgress++;
      void answer(handOver, message, channel).then((step) => {
        if (--stepsInProgress === 0 && !isOver) waitForStep();
        if (step === "finish" && handOver.isFinished) over.resolve("");
      });
    },
    closed: () => over.resolve("the process that was to take it over has ended"),
  });
  const why = await over.promise;
  isOver = true;
  clearTimeout(idle);
  if (handOver.isFinished) return undefined;
  return { why, goesOn: await handOver.abort(why) };
}

async function answer(
  handOver: HandOver,
  message: unknown,
  channel: StepChannel,
): Promise<string | undefined> {
  const parsed = stepSchema.safeParse(message);
  if (!parsed.success) return undefined;
  const { id, step } = parsed.data;
  let reply: StepAnswer;
  try {
    reply = { id, result: await take(handOver, parsed.data) };
  } catch (thrown) {
    const { code, message: text } = toNexError(thrown);
    reply = { id, error: { code, message: text } };
  }
  try {
    channel.send(reply);
  } catch {
    // The end of the channel is heard too.
  }
  return step;
}

async function take(handOver: HandOver, { version, step, workload_id = "" }: Step): Promise<unknown> {
  if (version !== handOverVersion) {
    const versions = `this node speaks version ${handOverVersion} of the hand-over, the other process ${version}`;
    throw new NexError("hand_over_refused", `Cannot hand this node to another process: ${versions}`, {
      advice: "Stop the node and start the new version: containers and microVMs are adopted after a kill",
    });
  }
  if (step === "release") return await handOver.release(workload_id);
  return await handOver[step]();
}
