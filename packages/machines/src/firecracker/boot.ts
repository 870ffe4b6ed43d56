/** Boots a Firecracker machine in a jail. */
import type { MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { cleanUpOrphans } from "../host/orphans.ts";
import { configDisk, demandMemory, memoryBytesOf } from "../microvm/config-disk.ts";
import { newToken } from "../microvm/epoch-header.ts";
import { MicroVm } from "../microvm/machine.ts";
import { kernelArguments } from "../microvm/settings.ts";
import { tapDevice, tapLinkAddress } from "../network/link.ts";
import { MonitorNetwork } from "../network/monitor-network.ts";
import type { FirecrackerHost } from "./host.ts";
import { type Jailed, jail, placeBytes } from "./jail.ts";
import { jailNames, jailOf } from "./layout.ts";
import type { FirecrackerDriverSettings, RateLimiters, TokenBucket } from "./options.ts";

const mebibyte = 1_048_576;
/** vsock context id of the guest. Lower ids are reserved; each machine has its own socket, so all can share one id. */
const guestCid = 3;
const cardId = "net";
/** Skips the search for a PCI bus, which does not exist. */
const ownArguments = ["pci=off"];

/**
 * Boots one machine: creates its jail and disks, and starts Firecracker. Resolves when the guest starts to boot.
 *
 * @throws MachineError `boot_failed`; nothing is left behind.
 */
export async function bootFirecracker(
  host: FirecrackerHost,
  spec: MachineSpec & { isTemplate?: boolean },
): Promise<MicroVm> {
  const { settings } = host;
  demandMemory(spec, settings);
  return await inNewJail(host, spec, async (idRange) => {
    const token = newToken();
    const userId = host.ranges.hostIdFirst(idRange);
    await using network = await MonitorNetwork.make(spec, host.egress, userId);
    const egressAddress = network?.address;
    const { root } = jailOf(settings.stateDirectory, spec.id);
    await placeBytes(root, "config", configDisk(spec, settings, token, "vsock", egressAddress));
    const image = spec.root?.path ?? settings.image;
    const files = { kernel: settings.boot.kernel, initramfs: settings.boot.initramfs, image };
    const { identity, console, api } = await jail(host, spec, { userId, networkPath: network?.path }, files);
    await startGuest(api, spec, settings);
    const facts = { identity, token, idRange, ...(egressAddress !== undefined && { egressAddress }) };
    return new MicroVm(host, spec, facts, console);
  });
}

/**
 * Claims a user id range for a machine and runs `make` in a new jail.
 *
 * @throws MachineError `boot_failed`; nothing is left behind.
 */
export async function inNewJail<Made>(
  host: FirecrackerHost,
  spec: Pick<MachineSpec, "id" | "directory" | "network">,
  make: (idRange: number) => Promise<Made>,
): Promise<Made> {
  let idRange: number | undefined;
  try {
    await host.prepare();
    idRange = await host.ranges.take(spec.id);
    host.enter(spec.id);
    return await make(idRange);
  } catch (error) {
    await host.release(spec.id, idRange === undefined ? undefined : { idRange }).catch(() => undefined);
    if (spec.network === "egress") await host.egress.release(spec.id).catch(() => undefined);
    await cleanUpOrphans(spec.directory).catch(() => undefined);
    if (error instanceof MachineError) throw error;
    throw bootFailure(spec.id, "the host refuses something", { cause: error });
  }
}

/** Configures Firecracker's guest with files in the jail, and starts it. @throws MachineError `boot_failed` */
export async function startGuest(
  api: Jailed["api"],
  spec: MachineSpec,
  settings: FirecrackerDriverSettings,
): Promise<void> {
  const vcpus = Math.max(Math.ceil(spec.limits.vcpus ?? 1), 1);
  await api.put("/machine-config", {
    vcpu_count: vcpus,
    mem_size_mib: Math.floor(memoryBytesOf(spec, settings) / mebibyte),
  });
  await api.put("/boot-source", {
    kernel_image_path: `/${jailNames.kernel}`,
    initrd_path: `/${jailNames.initramfs}`,
    boot_args: [...kernelArguments, ...ownArguments].join(" "),
  });
  for (const [id, name] of [
    ["root", "image"],
    ["config", "config"],
  ] as const) {
    await api.put(`/drives/${id}`, {
      drive_id: id,
      path_on_host: `/${jailNames[name]}`,
      is_root_device: false,
      is_read_only: true,
      ...(id === "root" ? rateLimiter(settings.rateLimiters) : {}),
    });
  }
  await api.put("/vsock", { guest_cid: guestCid, uds_path: `/${jailNames.vsock}` });
  await api.put("/entropy", {});
  if (spec.network === "egress") {
    const card = { iface_id: cardId, host_dev_name: tapDevice, guest_mac: tapLinkAddress };
    await api.put(`/network-interfaces/${cardId}`, card);
  }
  await api.put("/actions", { action_type: "InstanceStart" });
}

function rateLimiter({ bandwidth, operations }: RateLimiters): Record<string, unknown> {
  if (bandwidth === undefined && operations === undefined) return {};
  const bucket = ({ size, refillTimeMs, oneTimeBurst }: TokenBucket) => ({
    size,
    refill_time: refillTimeMs,
    ...(oneTimeBurst === undefined ? {} : { one_time_burst: oneTimeBurst }),
  });
  return {
    rate_limiter: {
      ...(bandwidth === undefined ? {} : { bandwidth: bucket(bandwidth) }),
      ...(operations === undefined ? {} : { ops: bucket(operations) }),
    },
  };
}
