import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import type { Egress } from "./egress.ts";
import { findForwardDrops } from "./unmet-requirements.ts";

/** Whether machines have egress here, for people. */
export async function describeEgress(egress: Egress): Promise<string> {
  const unmet = await egress.unmetRequirement();
  const drops = unmet ? [] : await findForwardDrops();
  const hint = `the host's own firewall drops what is passed on unless told otherwise (${drops.join(", ")}): let it accept what comes from or goes to devices "nex*"`;
  return drops.length > 0 ? `yes, but ${hint}` : describeUnmetRequirement(unmet);
}

/** Says to people whether something is there. */
export function describeUnmetRequirement(unmet: UnmetRequirement | undefined): string {
  return unmet ? `no: ${unmet.reason}. ${unmet.advice}` : "yes";
}
