/**
 * Figures of microVMs, part of `npm run bench -- machines`, and alone `npm run bench -- microvms`: by KVM where it works,
 * else of QEMU by emulation, which is said.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cleanUpOrphans } from "../../packages/machines/src/host/orphans.ts";
import { trySandbox } from "../../packages/node/src/sandbox/choose.ts";
import type { DriverFiles } from "../../packages/node/src/sandbox/kinds.ts";
import { testDriverFiles } from "../../packages/testing/src/node.ts";
import { comparedOf, type MicroVmKind } from "./microvms/kinds.ts";
import { type Counts, Place } from "./microvms/place.ts";
import { row } from "./support.ts";

const countsByKvm: Counts = { boots: 20, copies: 50, idle: 16, deploys: 30, deploysInARow: 100 };
const countsEmulated: Counts = { boots: 5, copies: 20, idle: 8, deploys: 10, deploysInARow: 20 };
const countsInEmulatedHost: Counts = { boots: 3, copies: 5, idle: 4, deploys: 5, deploysInARow: 10 };

/** Runs the benchmark of both kinds on this host. */
export async function benchMicroVms(): Promise<void> {
  const emulated = testDriverFiles();
  const files = { ...emulated, qemu: { ...emulated.qemu, accelerator: "kvm" as const } };
  if (!(await benchKind("qemu", "qemu, by KVM", files, countsByKvm)))
    await benchKind("qemu", "qemu, emulated", emulated, countsEmulated);
  await benchKind("firecracker", "firecracker, by KVM", files, countsByKvm);
}

/** Runs that of Firecracker where KVM is emulated. @returns whether Firecracker works there. */
export async function benchFirecrackerEmulated(): Promise<boolean> {
  return await benchKind(
    "firecracker",
    "firecracker, in an emulated host",
    testDriverFiles(),
    countsInEmulatedHost,
  );
}

/** @returns whether the kind works here. */
async function benchKind(
  kind: MicroVmKind,
  name: string,
  files: DriverFiles,
  counts: Counts,
): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), "nex-bench-vm-"));
  try {
    const { found } = await trySandbox(kind, files, directory);
    if (found.available) {
      const compared = comparedOf(kind, files, directory, found.details["image"] ?? "");
      await new Place(name, compared, join(directory, "machines"), counts).bench();
    } else row(name, `not run: ${found.reason}`);
    return found.available;
  } finally {
    // A machine that failed where nothing was to fail is ended too.
    await cleanUpOrphans(directory);
  }
}
