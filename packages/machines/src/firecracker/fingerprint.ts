/** Probes whether this host can run Firecracker machines. */
import type { Fingerprint } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { findProgram } from "../host/program.ts";
import { probe } from "../microvm/probe.ts";
import { bootFirecracker } from "./boot.ts";
import type { FirecrackerHost } from "./host.ts";
import { releaseNote } from "./release.ts";
import { findUnmetRequirement, firecrackerVersion } from "./requirements.ts";

/** Checks the requirements, then boots a machine until its agent answers. */
export async function fingerprintFirecracker(host: FirecrackerHost): Promise<Fingerprint> {
  const { settings } = host;
  const unmet = await findUnmetRequirement(settings);
  if (unmet) return { available: false, ...unmet };
  const startedAt = performance.now();
  try {
    await probe(host, settings.stateDirectory, settings.attachTimeoutMs, (spec) =>
      bootFirecracker(host, spec),
    );
  } catch (error) {
    const reason = error instanceof MachineError ? error.message : String(error);
    return {
      available: false,
      reason: `the probe failed. ${reason}`,
      advice:
        "Check that KVM works on this host and that the file system of the state directory allows devices, or use another sandbox",
    };
  }
  const path = (await findProgram(settings.program)) ?? settings.program;
  const version = await firecrackerVersion(path);
  return {
    available: true,
    details: {
      program: `${path} ${version} (${releaseNote(version)})`,
      image: settings.image,
      trial: `${Math.round(performance.now() - startedAt)} ms`,
    },
  };
}
