import { randomBytes } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";

/** A guest that waits for its node is not to end before it on a host that is slow. */
const patientMs = 30_000;

/** A machine's order with a directory of its own and no limits. */
export async function makeSpec(change: Partial<MachineSpec> = {}): Promise<MachineSpec> {
  return {
    id: randomBytes(8).toString("hex"),
    directory: change.directory ?? (await mkdtemp(join(tmpdir(), "nex-contract-"))),
    limits: {},
    network: "none",
    nodeLostTimeoutMs: patientMs,
    ...change,
  };
}
