/** The defences of a container, each with what takes it away and the cases that must notice. */
import type { Weakness } from "./weak-runtime.ts";

export interface Defence {
  name: string;
  takeAway: Weakness;
  /** The names of cases, at least these. */
  noticedBy: readonly string[];
  /** A node finds it missing when it tries the runtime out, and does not start. */
  refusedByNode?: RegExp;
  /** Part of every run of the tests, as one of the strongest. */
  inEveryRun?: boolean;
}

export const defences: readonly Defence[] = [
  {
    name: "the filter of system calls",
    takeAway: (config) => void delete config.linux.seccomp,
    noticedBy: ["kernel keyrings", "tracing", "namespaces"],
    refusedByNode: /does not confine a machine with a seccomp filter/,
    inEveryRun: true,
  },
  {
    name: "the network of its own",
    takeAway: (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "network");
      delete config.linux.sysctl;
    },
    noticedBy: ["the host's loopback", "abstract sockets"],
    inEveryRun: true,
  },
  {
    name: "the read-only root",
    takeAway: (config) => {
      config.root.readonly = false;
    },
    noticedBy: ["the root file system"],
    inEveryRun: true,
  },
  {
    name: "the user namespace",
    takeAway: (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "user");
      delete config.linux.uidMappings;
      delete config.linux.gidMappings;
    },
    noticedBy: ["user ids"],
    inEveryRun: true,
  },
  {
    name: "the limit of processes",
    takeAway: (config) => void delete config.linux.resources.pids,
    noticedBy: ["a fork bomb", "a thread bomb"],
    refusedByNode: /does not confine a machine with the pids limit/,
    inEveryRun: true,
  },
  {
    name: "the limit of memory",
    takeAway: (config) => void delete config.linux.resources.memory,
    noticedBy: ["a memory bomb", "files in memory"],
    refusedByNode: /the memory limit/,
  },
  {
    name: "the limit of the processor",
    takeAway: (config) => void delete config.linux.resources.cpu,
    noticedBy: ["a busy loop"],
    refusedByNode: /the cpu limit/,
  },
  {
    name: "the limit of the disk",
    takeAway: (config) => {
      for (const mount of config.mounts) {
        mount.options = mount.options.filter((option) => !/^(size|nr_inodes)=/.test(option));
      }
    },
    noticedBy: ["a full disk", "an artifact larger than its disk"],
  },
  {
    name: "no new privileges",
    takeAway: (config) => {
      config.process.noNewPrivileges = false;
    },
    noticedBy: ["root"],
    refusedByNode: /no-new-privileges/,
  },
  {
    name: "the empty set of capabilities",
    takeAway: (config) => {
      const all = [
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_NET_RAW",
        "CAP_SYS_ADMIN",
        "CAP_SYS_CHROOT",
        "CAP_DAC_OVERRIDE",
      ];
      for (const set of Object.keys(config.process.capabilities)) config.process.capabilities[set] = all;
    },
    noticedBy: ["root", "raw sockets"],
    refusedByNode: /an empty set of capabilities/,
  },
  {
    name: "the read-only channels",
    takeAway: (config) => {
      for (const mount of config.mounts.filter(({ destination }) => destination === "/nex")) {
        mount.options = mount.options.filter((option) => option !== "ro");
      }
    },
    noticedBy: ["the channel directory", "channels by Node"],
  },
  {
    name: "no programs in /tmp",
    takeAway: (config) => {
      for (const mount of config.mounts.filter(({ destination }) => destination === "/tmp")) {
        mount.options = mount.options.filter((option) => option !== "noexec");
      }
    },
    noticedBy: ["programs by Node"],
  },
];
