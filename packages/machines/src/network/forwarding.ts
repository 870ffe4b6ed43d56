import { constants } from "node:fs";
import { access, readFile, writeFile } from "node:fs/promises";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";

/** Of the network namespace in which this process is. */
const switchPath = "/proc/sys/net/ipv4/ip_forward";

const unmet: UnmetRequirement = {
  reason: "the host passes no packets on, and this can't be changed from here",
  advice: "Switch it on: sysctl net.ipv4.ip_forward=1",
};

/**
 * Lets the host pass packets on. It stays so: nobody can know who counts on it when the last machine is gone.
 *
 * @returns what hinders it.
 */
export async function switchForwardingOn(): Promise<UnmetRequirement | undefined> {
  try {
    if (!(await isOn())) await writeFile(switchPath, "1");
    return undefined;
  } catch {
    return unmet;
  }
}

/** Could it be switched on, if it is off? */
export async function findUnmetForwardingRequirement(): Promise<UnmetRequirement | undefined> {
  try {
    if (!(await isOn())) await access(switchPath, constants.W_OK);
    return undefined;
  } catch {
    return unmet;
  }
}

async function isOn(): Promise<boolean> {
  return (await readFile(switchPath, "latin1")).trim() !== "0";
}
