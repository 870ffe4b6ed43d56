import type { BoundToken } from "@nexengine/protocol/tokens";
import { asToken } from "../admission/tokens.ts";
import type { UsedTokens } from "../state/used-tokens.ts";

/**
 * Remembers the token of an admitted request, in the turn of its admission, so that only one of two copies runs. A refused
 * request does not use its token up: otherwise somebody could use up a captured token with other content. A request that
 * fails later has used it: otherwise others could start it at another time.
 *
 * @param invalid Head of the error message.
 * @returns when the disk has it. Nothing may start before that.
 * @throws NexError `token_already_used`, `replay_memory_full`, `state_unusable`
 */
export function useUp(usedTokens: UsedTokens, invalid: string, token: BoundToken | undefined): Promise<void> {
  return token === undefined ? Promise.resolve() : asToken(invalid, () => usedTokens.remember(token));
}
