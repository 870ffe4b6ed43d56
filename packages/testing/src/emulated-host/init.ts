/**
 * The first program of an emulated host: mounts what a host has, runs a command, and tells how it ended.
 *
 * KVM takes the frequency of the processor's clock for that of its guests when it is loaded. The kernel measures it
 * twice, and the second time is the exact one: a guest that was told the first result gets timers that may never fire.
 */
export const hostInit = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
clock=/sys/devices/system/clocksource/clocksource0/current_clocksource
for try in $(seq 100); do
  read -r source <$clock
  [ "$source" = tsc ] && break
  sleep 0.1
done
[ "$source" = tsc ] || echo "the clock is still $source: guests may have no timers"
for module in /lib/modules/*.ko; do insmod "$module" || echo "cannot load $module"; done
mount -t ext4 -o ro /dev/vda /host || { echo "cannot mount the disk of the host"; reboot -f; }
mount -t proc proc /host/proc
mount -t sysfs sysfs /host/sys
mount -t devtmpfs dev /host/dev
mount -t tmpfs -o size=70% tmp /host/tmp
mount -t tmpfs run /host/run
mount -t cgroup2 cgroup /host/sys/fs/cgroup
mkdir -p /host/dev/shm
ip link set lo up
for port in /dev/vport*; do exec 3>"$port"; done
chroot /host /bin/sh /command >&3 2>&3
echo "[the command ended with $?]" >&3
reboot -f
`;

/** Applets that the init and its command call; all are one program. */
export const hostApplets: readonly string[] = [
  ...[
    "sh",
    "mount",
    "insmod",
    "ip",
    "mkdir",
    "chroot",
    "reboot",
    "mkfifo",
    "cat",
    "cp",
    "seq",
    "ls",
    "ps",
    "sleep",
    "dmesg",
  ],
  ...[
    "mknod",
    "chmod",
    "rm",
    "grep",
    "mv",
    "test",
    "echo",
    "kill",
    "umount",
    "head",
    "tail",
    "env",
    "sha256sum",
  ],
];
