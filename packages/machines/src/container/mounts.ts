/** Mounts of a container, and the paths of the kernel that are hidden from it. */
import { guestId } from "../host/ids.ts";
import { guestHosts } from "./hosts-file.ts";
import { guestChannels, type Layout } from "./layout.ts";

interface Mount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

/** Maximum size of `/tmp`, in bytes. The rest of `diskBytes` goes to the working directory. */
const tmpBytesMax = 16_777_216;
/** Empty files use memory too, so the number of inodes is limited in proportion to the bytes. */
const bytesPerFile = 4_096;
const filesMin = 64;
/** A tmpfs size of 0 means unlimited. */
const bytesMin = 4_096;
const sealed = ["nosuid", "nodev", "noexec"];
const owned = [`uid=${guestId}`, `gid=${guestId}`];

/** Paths that would reveal data about the whole host. */
export const maskedPaths: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/cmdline",
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/pressure",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
];

/** Paths that are read-only in a machine. */
export const readonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/**
 * Mounts over the rootfs: the channels and the optional hosts file, read-only; and in memory, a noexec `/tmp` and the
 * working directory, which allows execution. The writable mounts hold `diskBytes` together and also count as memory.
 */
export function guestMounts(
  diskBytes: number | undefined,
  { channels, hosts }: Pick<Layout, "channels"> & Partial<Pick<Layout, "hosts">>,
): Mount[] {
  const tmpBytes = diskBytes === undefined ? tmpBytesMax : Math.min(tmpBytesMax, Math.floor(diskBytes / 4));
  const workBytes = diskBytes === undefined ? undefined : diskBytes - tmpBytes;
  return [
    { destination: "/proc", type: "proc", source: "proc", options: sealed },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "noexec", "mode=755", "size=64k"],
    },
    memory("/tmp", tmpBytes, sealed),
    memory("/work", workBytes, ["nosuid", "nodev", "exec"]),
    shown(channels, guestChannels),
    ...(hosts === undefined ? [] : [shown(hosts, guestHosts)]),
  ];
}

function shown(source: string, destination: string): Mount {
  return { destination, type: "bind", source, options: ["bind", "ro", "private", ...sealed] };
}

function memory(destination: string, bytes: number | undefined, options: string[]): Mount {
  const sizes =
    bytes === undefined
      ? []
      : [
          `size=${Math.max(bytes, bytesMin)}`,
          `nr_inodes=${Math.max(Math.floor(bytes / bytesPerFile), filesMin)}`,
        ];
  return {
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: [...options, "mode=700", ...owned, ...sizes],
  };
}
