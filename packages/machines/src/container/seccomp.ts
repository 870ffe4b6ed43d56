/**
 * System calls that a machine may make: those that Node, Go and C programs need. All others fail with EPERM. The list
 * excludes calls that change namespaces, mounts, modules, clocks or the memory of other processes. It also excludes
 * keyrings, BPF, perf events, userfaultfd, io_uring and flushing whole file systems. Sockets are limited to TCP, UDP,
 * Unix and route netlink, because the kernel autoloads other protocols on request, with their bugs.
 */

/** A rule of the OCI runtime specification. */
interface SeccompRule {
  names: string[];
  action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ" }[];
}

/** A profile of the OCI runtime specification. */
export interface SeccompProfile {
  defaultAction: "SCMP_ACT_ERRNO";
  defaultErrnoRet: number;
  syscalls: SeccompRule[];
}

const errnoNotPermitted = 1;
const errnoNoSuchCall = 38;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const newNamespaces = 0x7e02_0000;
const families = { unix: 1, inet: 2, inet6: 10, netlink: 16 };
const netlinkRoute = 0;
/** Mask of the socket type without flags (SOCK_TYPE_MASK). */
const socketTypeMask = 0xf;
/** Allowed transports: TCP and UDP, by protocol number or by default (0). */
const transports = [
  { type: 1, protocols: [0, 6] },
  { type: 2, protocols: [0, 17] },
];
/** SECCOMP_FILTER_FLAG_NEW_LISTENER lets another process decide on system calls. */
const seccompNewListener = 0x8;
/** Personalities that may be set or queried: plain Linux. */
const personalities = [0, 0xffff_ffff];

const allowed: Record<string, string> = {
  files: `access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
    fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr lchown
    lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat
    newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink
    symlinkat sync_file_range tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write
    writev`,
  waiting: `epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl pipe pipe2 poll ppoll pselect6 select
    signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime`,
  memory: `brk get_mempolicy madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync
    munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect`,
  processes: `arch_prctl execve execveat exit exit_group fork futex futex_waitv get_robust_list get_thread_area getegid
    geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid
    gettid getuid kill pidfd_open pidfd_send_signal prctl prlimit64 rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list
    set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid
    setresuid setreuid setrlimit setsid setuid sigaltstack tgkill tkill vfork wait4 waitid capget capset`,
  time: `alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause restart_syscall
    setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_settime times`,
  network: `accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg
    sendmsg sendto setsockopt shutdown`,
  host: "getcpu getrandom sysinfo uname",
};

/** Returns the seccomp profile of every machine. */
export function seccompProfile(): SeccompProfile {
  const names = Object.values(allowed).flatMap((group) => group.split(/\s+/));
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: errnoNotPermitted,
    syscalls: [
      { names, action: "SCMP_ACT_ALLOW" },
      {
        names: ["clone"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: newNamespaces, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      // The flags of clone3 are in memory, which seccomp can't inspect. With ENOSYS, callers fall back to `clone`.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: errnoNoSuchCall },
      {
        names: ["seccomp"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 1, value: seccompNewListener, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      socketRule(["socket", "socketpair"], families.unix),
      ...[families.inet, families.inet6].flatMap((family) =>
        transports.flatMap(({ type, protocols }) =>
          protocols.map((protocol) => socketRule(["socket"], family, protocol, type)),
        ),
      ),
      socketRule(["socket"], families.netlink, netlinkRoute),
      ...personalities.map(
        (value): SeccompRule => ({
          names: ["personality"],
          action: "SCMP_ACT_ALLOW",
          args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
        }),
      ),
    ],
  };
}

function socketRule(names: string[], family: number, protocol?: number, type?: number): SeccompRule {
  const args: SeccompRule["args"] = [{ index: 0, value: family, op: "SCMP_CMP_EQ" }];
  if (type !== undefined)
    args.push({ index: 1, value: socketTypeMask, valueTwo: type, op: "SCMP_CMP_MASKED_EQ" });
  if (protocol !== undefined) args.push({ index: 2, value: protocol, op: "SCMP_CMP_EQ" });
  return { names, action: "SCMP_ACT_ALLOW", args };
}
