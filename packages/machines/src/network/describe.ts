/** Describes for display whether machines on this host can have egress. */
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import type { Egress } from "./egress.ts";
import { findForwardDrops } from "./unmet-requirements.ts";

/** Describes for display whether machines on this host can have egress. */
export async function describeEgress(egress: Egress): Promise<string> {
  const unmet = await egress.unmetRequirement();
  const drops = unmet ? [] : await findForwardDrops();
  const hint = `the host's firewall drops forwarded packets by default (${drops.join(", ")}): accept packets from and to the devices "nex*"`;
  return drops.length > 0 ? `yes, but ${hint}` : describeUnmetRequirement(unmet);
}

/** Describes an unmet requirement for display. */
export function describeUnmetRequirement(unmet: UnmetRequirement | undefined): string {
  return unmet ? `no: ${unmet.reason}. ${unmet.advice}` : "yes";
}
