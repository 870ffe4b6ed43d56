/** What cases expect, in one word each. */
import assert from "node:assert/strict";
import type { Attack } from "../support/attack.ts";

export type Check = (attack: Attack) => Promise<void>;

/** It says itself that it was held, and how. */
export function held(how: RegExp): Check {
  return async (attack) => {
    const verdict = await attack.verdict();
    assert.match(verdict, /^held /);
    assert.match(verdict, how);
  };
}

/** All that it tries fails in this way, whatever else it says. */
export function allFail(...names: string[]): Check {
  const each = `[^,]* (${names.join("|")})`;
  return held(new RegExp(`^held ${each}(, ${each})*$`));
}

/** It ends, and its end is told of with this reason. */
export function ends(why: RegExp): Check {
  return async (attack) => assert.match(await attack.end(), why);
}

/** It is ended for this reason; the node may have noticed before it had said that the workload runs. */
export function broken(why: RegExp): Check {
  return async (attack) => {
    if (attack.refusal !== undefined) await refused("workload_not_started", why)(attack);
    else await ends(why)(attack);
  };
}

/** Its machine is ended for this reason, and as a function it starts again; or it was noticed before it ran. */
export function restarted(why: RegExp): Check {
  return async (attack) => {
    if (attack.refusal !== undefined) await refused("workload_not_started", why)(attack);
    else await attack.until("the restart", ({ restarts }) => restarts.find((text) => why.test(text)));
  };
}

/** The deploy is refused, by one of these codes. */
export function refused(codes: string | readonly string[], why: RegExp): Check {
  return async ({ refusal }) => {
    assert.ok(refusal !== undefined, "it was accepted");
    assert.ok([codes].flat().includes(refusal.code), `${refusal.code}: ${refusal.message}`);
    assert.match(refusal.message, why);
  };
}
