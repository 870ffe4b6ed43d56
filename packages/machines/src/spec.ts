/** Checks of a spec that all drivers share. */
import type { Driver, LimitName, MachineRoot, MachineSpec } from "./driver.ts";
import { MachineError, type MachineErrorCode } from "./errors.ts";
import { ownableDirectory } from "./host/machine-directory.ts";
import { removeTree } from "./host/remove-tree.ts";
import { networkRefusal } from "./spec-network.ts";

const idForm = /^[a-z0-9]{1,32}$/;

/** Reports whether `id` is a valid machine id. */
export function isMachineId(id: string): boolean {
  return idForm.test(id);
}

/** The driver properties that decide whether a spec is accepted. */
export type Offer = Pick<Driver, "kind" | "enforces" | "networks" | "rootKind">;

/**
 * Validates the spec, resolves the machine's directory to its real path and calls `start`. Removes the directory if
 * the boot fails.
 *
 * @throws MachineError `boot_failed`, `limit_not_enforced`, `network_not_offered`, or any error from `start`.
 */
export async function bootInDirectory<Made>(
  offer: Offer,
  spec: MachineSpec,
  start: (owned: MachineSpec) => Promise<Made>,
): Promise<Made> {
  const directory = await ownableDirectory(spec.directory);
  if (directory === undefined) {
    throw refusal(
      "boot_failed",
      spec,
      `"${spec.directory}" is not the absolute path of a directory of its own`,
    );
  }
  try {
    checkSpec(offer, spec);
    return await start({ ...spec, directory });
  } catch (error) {
    await removeTree(directory).catch(() => undefined);
    throw error;
  }
}

function checkSpec({ kind, enforces, networks, rootKind }: Offer, spec: MachineSpec): void {
  if (!isMachineId(spec.id))
    throw refusal("boot_failed", spec, "an id has 1 to 32 characters of a-z and 0-9");
  for (const [name, value] of Object.entries(spec.limits)) {
    if (value === undefined || enforces.has(name as LimitName)) continue;
    throw refusal("limit_not_enforced", spec, `the ${kind} driver does not enforce ${name}`);
  }
  if (!networks.has(spec.network)) {
    throw refusal(
      "network_not_offered",
      spec,
      `the ${kind} driver does not offer the network "${spec.network}"`,
    );
  }
  if (spec.root !== undefined && spec.root.kind !== rootKind) {
    throw refusal("boot_failed", spec, `the ${kind} driver has no root that is ${article(spec.root.kind)}`);
  }
  const why = networkRefusal(spec);
  if (why !== undefined) throw refusal("boot_failed", spec, why);
}

function article(kind: MachineRoot["kind"]): string {
  return kind === "image" ? "an image" : "a directory";
}

function refusal(code: MachineErrorCode, spec: MachineSpec, why: string): MachineError {
  return new MachineError(code, `Cannot boot machine "${spec.id}": ${why}`);
}
