/** The hosts file of a container. */
import { constants } from "node:fs";
import { access, chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HostEntry } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { hostsText } from "../host/hosts-text.ts";

/** Path of the hosts file in a machine. */
export const guestHosts = "/etc/hosts";

/**
 * Writes the hosts file that is mounted over the one in the rootfs.
 *
 * @throws MachineError `boot_failed` if the rootfs has no such file; the runtime would create it in the rootfs.
 */
export async function writeHostsFile(
  path: string,
  { id, hosts }: { id: string; hosts: readonly HostEntry[] },
  rootfs: string,
): Promise<void> {
  await access(join(rootfs, guestHosts), constants.F_OK).catch((cause: unknown) => {
    const why = `the rootfs has no "${guestHosts}", which is needed as a mount point; rebuild the rootfs`;
    throw bootFailure(id, why, { cause });
  });
  await writeFile(path, hostsText(hosts));
  // The reader is an unprivileged user, so the mode must not depend on the umask.
  await chmod(path, 0o444);
}
