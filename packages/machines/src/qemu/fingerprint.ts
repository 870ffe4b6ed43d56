/** Probes whether this host can run QEMU machines. */
import type { Fingerprint } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { findProgram } from "../host/program.ts";
import { probe } from "../microvm/probe.ts";
import { bootQemu } from "./boot.ts";
import { QemuHost } from "./host.ts";
import type { QemuDriverSettings } from "./options.ts";
import { findUnmetRequirement, qemuVersion } from "./requirements.ts";

/** With working KVM, a machine boots in less than a second. */
const probeTimeoutMs = { kvm: 20_000, tcg: 180_000 } as const;

/** Checks the requirements, then boots a machine until its agent answers. */
export async function fingerprintQemu({ settings }: QemuHost): Promise<Fingerprint> {
  const unmet = await findUnmetRequirement(settings);
  if (unmet) return { available: false, ...unmet };
  const startedAt = performance.now();
  try {
    const attachTimeoutMs = Math.min(settings.attachTimeoutMs, probeTimeoutMs[settings.accelerator]);
    const host = new QemuHost({ ...settings, attachTimeoutMs });
    await probe(
      host,
      settings.stateDirectory,
      attachTimeoutMs,
      async (spec) => (await bootQemu(host, spec)).machine,
    );
  } catch (error) {
    const reason = error instanceof MachineError ? error.message : String(error);
    return { available: false, reason: `the probe failed. ${reason}`, advice: adviceFor(settings) };
  }
  const path = (await findProgram(settings.program)) ?? settings.program;
  return {
    available: true,
    details: {
      program: `${path} ${await qemuVersion(path)}`,
      accelerator: settings.accelerator === "tcg" ? "tcg (slow emulation)" : "kvm",
      image: settings.image,
      trial: `${Math.round(performance.now() - startedAt)} ms`,
    },
  };
}

function adviceFor({ accelerator }: QemuDriverSettings): string {
  const files = "Rebuild its files: nex rootfs --format ext4 --kernel apt";
  return accelerator === "tcg"
    ? files
    : `Check that KVM works on this host, or use another sandbox; ${files}`;
}
