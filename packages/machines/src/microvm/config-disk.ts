/** The second disk of a microVM, which tells the guest's init how to set up its machine. */
import { isIPv6 } from "node:net";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { hostsText } from "../host/hosts-text.ts";
import { guestChannels } from "./layout.ts";
import { type GuestTransport, type MicroVmSettings, memoryBytesMin } from "./settings.ts";

const sectorBytes = 512;
const cpuPeriodUs = 100_000;
/** Maximum size of `/tmp`, in bytes. The rest goes to the working directory. */
const tmpBytesMax = 16_777_216;
/** Empty files use memory too, so the number of inodes is limited in proportion to the bytes. */
const bytesPerFile = 4_096;
const filesMin = 64;
/** Share of memory used for files in a machine without a disk limit. */
const diskShareDefault = 0.5;

/**
 * Builds the second disk of a machine. The init sources it before it starts the agent (`rootfs/guest-init.ts`).
 *
 * @param egressAddress Address of the machine's egress link, if it has one.
 */
export function configDisk(
  spec: Pick<MachineSpec, "limits" | "hosts" | "loopbackAddresses" | "nodeLostTimeoutMs">,
  settings: MicroVmSettings,
  token: string,
  transport: GuestTransport,
  egressAddress?: string,
): Buffer {
  const { limits, hosts = [], loopbackAddresses = [] } = spec;
  const [program, ...args] = settings.command;
  const channels = `--channels=${transport === "port" ? "port" : "sockets"}:${guestChannels}`;
  const command = [program, ...settings.limitArguments(limits), ...args, channels];
  const lines = [
    `nex_transport=${transport}`,
    `nex_token=${token}`,
    `nex_lost_ms=${Math.floor(spec.nodeLostTimeoutMs)}`,
    ...disks(limits.diskBytes ?? Math.floor(memoryBytesOf(spec, settings) * diskShareDefault)),
    `nex_loopback=${quoted([...new Set(loopbackAddresses)].map(withPrefix).join(" "))}`,
    `nex_egress=${egressAddress ?? ""}`,
    `nex_processes=${limits.processes ?? "max"}`,
    `nex_cpu=${quoted(cpuMax(limits.vcpus))}`,
    `set -- ${command.map(quoted).join(" ")}`,
    ...(hosts.length === 0 ? [] : [`printf '%s' ${quoted(hostsText(hosts))} >/run/hosts`]),
  ];
  const text = Buffer.from(`${lines.join("\n")}\n`);
  // The shell reads the whole disk, so the padding is empty lines.
  return Buffer.concat([text, Buffer.alloc(sectorBytes - (text.length % sectorBytes), "\n")]);
}

/** Memory of the whole machine, including its kernel, agent and in-memory files. */
export function memoryBytesOf({ limits }: Pick<MachineSpec, "limits">, settings: MicroVmSettings): number {
  return limits.memoryBytes ?? settings.memoryBytesDefault;
}

/** @throws MachineError `boot_failed` if the memory is too small for a kernel and an agent. */
export function demandMemory(spec: MachineSpec, settings: MicroVmSettings): void {
  const memoryBytes = memoryBytesOf(spec, settings);
  if (memoryBytes >= memoryBytesMin) return;
  throw bootFailure(spec.id, `${memoryBytes} bytes of memory are less than the minimum of ${memoryBytesMin}`);
}

function disks(diskBytes: number): string[] {
  const tmpBytes = Math.min(tmpBytesMax, Math.floor(diskBytes / 4));
  const options = (bytes: number): string =>
    `size=${Math.max(bytes, bytesPerFile)},nr_inodes=${Math.max(Math.floor(bytes / bytesPerFile), filesMin)}`;
  return [`nex_tmp=${options(tmpBytes)}`, `nex_work=${options(diskBytes - tmpBytes)}`];
}

/** The number of virtual CPUs already limits whole CPUs; only a fraction needs a quota. */
function cpuMax(vcpus: number | undefined): string {
  if (vcpus === undefined || Number.isInteger(vcpus)) return `max ${cpuPeriodUs}`;
  return `${Math.max(Math.floor(vcpus * cpuPeriodUs), 1_000)} ${cpuPeriodUs}`;
}

function withPrefix(address: string): string {
  return `${address}/${isIPv6(address) ? 128 : 32}`;
}

/** Quotes text for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
