/** The init of a microVM's guest, a shell script. */
import { newTokenPath } from "./guest-programs.ts";

/** Printed by the init of a copy when it is a machine of its own. */
export const copyReadyWords = "[nex: a machine of its own]";

/** By which an init that sets up the network of a machine can be known: the address that it is told. */
export const guestNetworkMark = "$nex_egress";

/**
 * The first program of a microVM, in its initramfs: loads modules, mounts the image read-only and what can be written
 * over it, starts the agent as the user 1000, and turns the machine off when the agent has ended.
 *
 * The second disk is a shell script that says what is this machine's own (`microvm/config-disk.ts`). Under QEMU channels
 * and control are serial ports by name; under Firecracker the agent is given listening sockets, and control is the
 * serial line. Control carries what the agent writes to its console, words to the machine, and the last line from it:
 * how the agent ended, and how often memory ran out. The words are `stop`, and `resume` with a token, a seed and the
 * time for a copy of a machine, which becomes one of its own by them: its agent finds the token when all else is done.
 */
export const guestInit = `#!/bin/sh
end() {
  printf '[nex: the agent ended with %s, memory ran out %s times]\\n' "$1" "$2" >&3
  reboot -f
}
fail() {
  echo "nex init: $1"
  reboot -f
}
limit() {
  echo "$1" >"$2" || fail "cannot write $2"
}
# What of the kernel no workload needs; not every kernel has every setting.
harden() {
  [ ! -e "/proc/sys/$1" ] || echo "$2" >"/proc/sys/$1" || fail "cannot set $1"
}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /lib/modules/*.ko; do insmod "$module" || fail "cannot load $module"; done

cat /dev/vdb >/run/config || fail "there is no second disk"
. /run/config
export nex_lost_ms
mount -t ext4 -o ro,nosuid,nodev /dev/vda /image 2>/dev/null ||
  mount -t squashfs -o ro,nosuid,nodev /dev/vda /image || fail "cannot mount the image"

mount -t tmpfs -o nosuid,noexec,mode=755,size=64k,nr_inodes=64 dev /image/dev
mknod -m 666 /image/dev/null c 1 3
mknod -m 666 /image/dev/zero c 1 5
mknod -m 666 /image/dev/full c 1 7
mknod -m 666 /image/dev/random c 1 8
mknod -m 666 /image/dev/urandom c 1 9
ln -s /proc/self/fd /image/dev/fd
mount -t proc -o nosuid,nodev,noexec,hidepid=2 proc /image/proc
mount -t tmpfs -o "nosuid,nodev,noexec,mode=700,uid=1000,gid=1000,$nex_tmp" tmp /image/tmp || fail "cannot mount /tmp"
mount -t tmpfs -o "nosuid,nodev,mode=700,uid=1000,gid=1000,$nex_work" work /image/work || fail "cannot mount /work"

mount -t tmpfs -o nosuid,mode=755,size=4m,nr_inodes=64 nex /image/nex
listen=
case "$nex_transport" in
  port)
    for port in /sys/class/virtio-ports/*; do
      read -r name <"$port/name"
      IFS=: read -r major minor <"$port/dev"
      case "$name" in
        nex.control) mknod /dev/control c "$major" "$minor" ;;
        nex.*) mknod -m 600 "/image/nex/\${name#nex.}" c "$major" "$minor" && chown 1000:1000 "/image/nex/\${name#nex.}" ;;
      esac
    done
    ;;
  vsock)
    listen=/bin/listen
    mknod /dev/control c 4 64
    stty -F /dev/control -echo
    ;;
esac
exec 3<>/dev/control || fail "there is no control port"
echo "$nex_token" >/image/nex/token
cp /bin/busybox /image/nex/busybox
chmod 700 /image/nex/busybox
if [ -s /run/hosts ]; then
  mount --bind /run/hosts /image/etc/hosts && mount -o remount,bind,ro /image/etc/hosts
fi

ip link set lo up
for address in $nex_loopback; do ip addr add "$address" dev lo; done
if [ -n "${guestNetworkMark}" ]; then
  [ ! -d /proc/sys/net/ipv6 ] || limit 1 /proc/sys/net/ipv6/conf/eth0/disable_ipv6
  # The other end has the same link-layer address, so none is asked for.
  ip link set eth0 arp off && ip addr add "$nex_egress/32" dev eth0 && ip link set eth0 up &&
    ip route add default dev eth0 || fail "cannot set the network"
fi
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
harden user/max_user_namespaces 0
harden vm/unprivileged_userfaultfd 0
for setting in unprivileged_bpf_disabled=1 io_uring_disabled=2 perf_event_paranoid=4 kptr_restrict=2 \\
  dmesg_restrict=1 yama/ptrace_scope=3 sysrq=0 kexec_load_disabled=1 modules_disabled=1; do
  harden "kernel/\${setting%=*}" "\${setting#*=}"
done

mount -t cgroup2 cgroup /sys/fs/cgroup
limit "+pids +cpu" /sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/agent
limit "$nex_processes" /sys/fs/cgroup/agent/pids.max
limit "$nex_cpu" /sys/fs/cgroup/agent/cpu.max

(
  echo 0 >/sys/fs/cgroup/agent/cgroup.procs || exit 125
  echo 500 >/proc/self/oom_score_adj
  exec $listen /bin/setpriv --nnp chroot /image /nex/busybox sh -c '
    cd /work && program=$1 && shift &&
      exec /nex/busybox env -i "NEX_NODE_LOST_TIMEOUT_MS=$nex_lost_ms" \\
        /nex/busybox start-stop-daemon -S -c 1000:1000 -x "$program" -- "$@"' sh "$@"
) </dev/null >&3 2>&3 3>&- &
agent=$!
while read -r word token seed; do
  case "$word" in
    stop) kill -TERM "$agent" ;;
    resume)
      echo "$token" >${newTokenPath} && printf "$seed" >/run/seed &&
        reseed </run/seed 3>/dev/urandom || fail "cannot make this copy a machine of its own"
      : >/run/seed
      echo "${copyReadyWords}" >&3
      ;;
  esac
done <&3 &
wait "$agent"
code=$?
read -r _ ooms <<END
$(grep '^oom_kill ' /proc/vmstat)
END
end "$code" "$ooms"
`;

/** Applets that the init calls; all are one program. */
export const guestApplets = [
  ...["sh", "mount", "insmod", "cat", "mknod", "ln", "chown", "cp", "ip", "mkdir", "env", "setpriv"],
  ...["chmod", "chroot", "grep", "reboot", "printf", "stty"],
] as const;
