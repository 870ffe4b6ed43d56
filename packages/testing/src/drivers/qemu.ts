import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  completeQemuOptions as completeOptions,
  findUnmetQemuRequirement,
  findUnmetQemuNeed as findUnmetRequirement,
  QemuDriver,
  type QemuDriverOptions,
} from "@nexengine/machines/internal";
import { processesOf } from "./contract/host-processes.ts";
import { contractImageIn, microVmAbilities, packContractImage } from "./microvm.ts";

/** This module, for programs that make the driver themselves. */
export const driverModule: URL = new URL(import.meta.url);

/** Abilities of QEMU machines for the contract suite. */
export const qemuAbilities = microVmAbilities({
  driverModule,
  orphans: processesOf,
});

/** Passes the options to the programs that a test case starts. */
const optionsVariable = "NEX_CONTRACT_QEMU";

/** Creates the driver for the contract suite. The test guest is in the image packed by `prepareQemu`. */
export function makeDriver(change: Partial<QemuDriverOptions> = {}): QemuDriver {
  const options = JSON.parse(process.env[optionsVariable] ?? "{}") as QemuDriverOptions;
  return new QemuDriver({ ...options, ...change });
}

/** Fixtures of microVM tests, removed at the end of their scope. */
export interface Preparation extends AsyncDisposable {
  options: QemuDriverOptions;
  /** Why microVMs can't run on this host; `undefined` if they can. */
  unmetRequirement: string | undefined;
}

/** Packs an image with the test guest. Machines are emulated, so that the tests run on every host. */
export async function prepareQemu(): Promise<Preparation> {
  const base = await mkdtemp(join(tmpdir(), "nex-qemu-"));
  await chmod(base, 0o711);
  const options: QemuDriverOptions = {
    ...contractImageIn(base),
    stateDirectory: join(base, "state"),
    accelerator: "tcg",
    memoryBytesDefault: 268_435_456,
  };
  let unmet = await findUnmetQemuRequirement(options);
  if (unmet === undefined) {
    await packContractImage(base);
    unmet = await findUnmetRequirement(completeOptions(options));
  }
  process.env[optionsVariable] = JSON.stringify(options);
  if (unmet) console.log(`MicroVMs of QEMU are not tested: ${unmet.reason}. ${unmet.advice}`);
  return {
    options,
    unmetRequirement: unmet?.reason,
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  };
}
