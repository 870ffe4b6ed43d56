/** System calls that lead, or have led, out of a sandbox: a filter refuses them, whatever the kernel would say. */
import type { Check, ServiceCase } from "./case.ts";
import { allFail, held, ownKernel, refusedByOwnKernel } from "./checks.ts";

const byFilter = "Refused (EPERM)";

function call(
  name: string,
  argument: string,
  technique: string,
  outcome = byFilter,
  check: Check = allFail("EPERM"),
  inMicroVm?: ServiceCase["inMicroVm"],
): ServiceCase {
  return {
    kind: "service",
    name,
    technique,
    outcome,
    onProcess: "not isolated",
    argv: () => [argument],
    check,
    ...(inMicroVm === undefined ? {} : { inMicroVm }),
  };
}

/** Refused by a filter in a container, and nothing to forbid where the kernel is the machine's own. */
function forbidden(name: string, argument: string, technique: string, inMicroVm = ownKernel): ServiceCase {
  return call(name, argument, technique, byFilter, allFail("EPERM"), inMicroVm);
}

export const systemCallCases: readonly ServiceCase[] = [
  forbidden("kernel keyrings", "keyrings", "`add_key`, `request_key`, `keyctl`"),
  call("BPF", "bpf", "`bpf`: a map, a program"),
  forbidden("page faults", "faults", "`userfaultfd`"),
  forbidden("io_uring", "rings", "`io_uring_setup`, `io_uring_register`"),
  call(
    "tracing",
    "tracing",
    "`ptrace` of the agent, and of itself",
    byFilter,
    held(/^held PTRACE_ATTACH EPERM, PTRACE_SEIZE EPERM, PTRACE_TRACEME fails$/),
  ),
  forbidden(
    "memory of others",
    "other-memory",
    "`process_vm_readv`, `process_vm_writev`, `kcmp`, `pidfd_getfd`",
  ),
  forbidden(
    "mounts",
    "mounts",
    "`mount` (also of a cgroup hierarchy, for its release agent), `umount`, `pivot_root`, `chroot`, `open_tree`, `move_mount`, `fsopen`, `fsconfig`",
    refusedByOwnKernel,
  ),
  call(
    "namespaces",
    "namespaces",
    "`unshare`, `setns`, `clone` and `clone3` with a new user namespace",
    byFilter,
    held(
      /^held unshare user EPERM, unshare mount EPERM, unshare net EPERM, clone user fails, clone3 user fails, setns EPERM$/,
    ),
    refusedByOwnKernel,
  ),
  forbidden("performance counters", "counters", "`perf_event_open`", refusedByOwnKernel),
  call("kernel modules", "modules", "`init_module`, `finit_module`, `delete_module`, `kexec_load`"),
  forbidden(
    "administration",
    "administration",
    "`clock_settime`, `sethostname`, `reboot`, `swapon`, `acct`, `syslog`, `quotactl`, `iopl`",
    refusedByOwnKernel,
  ),
  forbidden(
    "file handles",
    "handles",
    "`name_to_handle_at`, `open_by_handle_at` of the root of the disk (Shocker)",
  ),
  forbidden(
    "a listener of its filter",
    "filter-listener",
    "`seccomp` with a listener, which answers system calls in the kernel's place",
  ),
  forbidden(
    "flushes of disks",
    "flushes",
    "`syncfs`, `sync`: the host would write all that it has in memory",
  ),
  forbidden("System V and POSIX queues", "ipc", "`shmget`, `semget`, `msgget`, `mq_open`"),
  forbidden(
    "weaker personalities",
    "personalities",
    "`personality`: no address randomisation, data as programs",
  ),
  call(
    "other system call tables",
    "other-abis",
    "32-bit and x32 calls, which a filter of 64-bit calls may not know",
    "Killed, or refused",
    held(
      /^held (a 32-bit call (is killed by signal \d+|fails), an x32 call (is killed by signal \d+|fails)|no other ABI)$/,
    ),
    ownKernel,
  ),
  call(
    "device nodes",
    "devices",
    "`mknod` of disks and memory; opening `/dev/mem`, `kmsg`, `fuse`, `kvm`, `net/tun`",
    "Refused (EPERM), or not there",
    allFail("EPERM", "ENOENT", "EACCES"),
  ),
  call("root", "identities", "`setuid(0)`, `setgid(0)`, `setgroups`, `capset`; gaining privileges by exec"),
  call(
    "user ids",
    "user-ids",
    "Reads which ids of the host its own are",
    "They are a range that nobody else has",
    held(/ids of its own/),
    ownKernel,
  ),
  call(
    "priorities",
    "priorities",
    "Raises its file limit, `nice -20`, real-time scheduling, no death by the OOM killer",
    "Refused (EPERM, EACCES)",
    allFail("EPERM", "EACCES"),
  ),
];
