/** Expectations of cases, in one word each. */
import assert from "node:assert/strict";
import type { Check, HostileCase } from "./case.ts";

/** It comes to its verdict; whatever its machine's own kernel has let it do, the host has not heard of it. */
export const ownKernel: HostileCase["inMicroVm"] & object = {
  outcome: "May meet the machine's own kernel, and nothing of the host",
  check: async (attack) => void (await attack.verdict()),
};

/** Refused by the machine's own kernel, which has other words for it. */
export const refusedByOwnKernel: HostileCase["inMicroVm"] & object = {
  outcome: "Refused by the machine's own kernel",
  check: (attack) => held(/^held /)(attack),
};

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
