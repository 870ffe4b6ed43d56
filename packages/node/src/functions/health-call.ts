/** A call that checks one machine of a function. It does not pass the trigger, so no other machine can answer it. */
import type { Machine } from "../machines/machine.ts";
import { Call } from "./function-calls.ts";

/**
 * Calls the function of a machine, without a payload and without counting the call.
 *
 * @param subject The trigger subject that the function sees.
 * @param signal Cancels the call; the promise does not settle then.
 * @returns the text of the failure; `undefined` for a reply
 */
export async function callForHealth(
  machine: Machine,
  subject: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const bytes = Buffer.from(subject);
  const end = bytes.length;
  const call = new Call(
    { index: -1, replied: () => resolve(undefined), failed: (_, { text }) => resolve(text) },
    {
      bytes,
      ...{ subjectStart: 0, subjectEnd: end, replyStart: end, replyEnd: end },
      ...{ headersStart: end, payloadStart: end, payloadEnd: end },
    },
  );
  const nowMs = performance.now();
  call.queuedAtMs = nowMs;
  if (!machine.agent.invoke(call, nowMs)) return "the machine takes no further call";
  const cancel = (): void => machine.agent.cancel(call);
  signal.addEventListener("abort", cancel, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}
