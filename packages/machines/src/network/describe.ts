import type { Lack } from "../host/lack.ts";
import type { Egress } from "./egress.ts";
import { findForwardDrops } from "./lack.ts";

/** Whether machines have egress here, for people. */
export async function describeEgress(egress: Egress): Promise<string> {
  const lack = await egress.lack();
  const drops = lack ? [] : await findForwardDrops();
  const hint = `the host's own firewall drops what is passed on unless told otherwise (${drops.join(", ")}): let it accept what comes from or goes to devices "nex*"`;
  return drops.length > 0 ? `yes, but ${hint}` : describeLack(lack);
}

/** Says to people whether something is there. */
export function describeLack(lack: Lack | undefined): string {
  return lack ? `no: ${lack.reason}. ${lack.advice}` : "yes";
}
