import { guestId } from "../host/ids.ts";
import { guestHosts } from "./hosts-file.ts";
import { guestChannels, type Layout } from "./layout.ts";

interface Mount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

/** The most that `/tmp` gets of what a machine may write; the rest is the working directory's. */
const tmpBytesMax = 16_777_216;
/** A file of no bytes holds memory too, so their number is bounded with the bytes. */
const bytesPerFile = 4_096;
const filesMin = 64;
/** A size of 0 would mean none. */
const bytesMin = 4_096;
const sealed = ["nosuid", "nodev", "noexec"];
const owned = [`uid=${guestId}`, `gid=${guestId}`];

/** What the kernel would tell of the whole host. */
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

/** What nobody in a machine changes. */
export const readonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/**
 * What is mounted over the rootfs: the channels and the hosts file, if there is one, read-only; and in memory all that can be written: a sealed `/tmp` and
 * the working directory, from which programs may run. Together they hold `diskBytes`, and count as memory too.
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
