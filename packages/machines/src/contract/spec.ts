import { randomBytes } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";

/** A machine's order with a directory of its own and no limits. */
export async function makeSpec(change: Partial<MachineSpec> = {}): Promise<MachineSpec> {
  return {
    id: randomBytes(8).toString("hex"),
    directory: change.directory ?? (await mkdtemp(join(tmpdir(), "nex-contract-"))),
    limits: {},
    network: "none",
    nodeLostTimeoutMs: 1_000,
    ...change,
  };
}
