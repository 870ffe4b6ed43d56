import { randomBytes } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MachineSpec } from "@nexengine/machines/internal";

/** Timeout for a lost node, long enough for a slow host, in ms. */
const patientMs = 30_000;

/** Creates a spec with a new directory and no limits. */
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
