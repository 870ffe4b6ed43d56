/** The switch of the kernel for forwarding packets. */
import { constants } from "node:fs";
import { access, readFile, writeFile } from "node:fs/promises";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";

/** Path of the forwarding switch in the network namespace of this process. */
const switchPath = "/proc/sys/net/ipv4/ip_forward";

const unmet: UnmetRequirement = {
  reason: "IPv4 forwarding is disabled on the host, and the node can't enable it",
  advice: "Enable it: sysctl net.ipv4.ip_forward=1",
};

/**
 * Enables IPv4 forwarding on the host. It stays enabled, because other software may rely on it later.
 *
 * @returns the unmet requirement that prevents it.
 */
export async function switchForwardingOn(): Promise<UnmetRequirement | undefined> {
  try {
    if (!(await isOn())) await writeFile(switchPath, "1");
    return undefined;
  } catch {
    return unmet;
  }
}

/** Checks whether forwarding is enabled or could be enabled. */
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
