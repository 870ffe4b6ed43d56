import type { BoundToken } from "@nexengine/protocol/internal";
import { asToken } from "../admission/tokens.ts";
import type { UsedTokens } from "../state/used-tokens.ts";

/**
 * Remembers the token of a request that was admitted, in the turn of its admission, so that of two copies one is
 * carried out. A refused request leaves its token as it was: somebody who sends a captured one with other content must
 * not use it up. What fails later has used it: otherwise others could start it at another time.
 *
 * @param invalid Head of the message of a refusal.
 * @returns when the disk has it too; nothing may start before that.
 * @throws NexError `token_already_used`, `replay_memory_full`, `state_unusable`
 */
export function useUp(usedTokens: UsedTokens, invalid: string, token: BoundToken | undefined): Promise<void> {
  return token === undefined ? Promise.resolve() : asToken(invalid, () => usedTokens.remember(token));
}
