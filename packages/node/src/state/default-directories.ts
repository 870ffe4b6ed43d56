/** Default directories of a node. */
import { homedir } from "node:os";
import { join } from "node:path";
import { defaultCacheDirectory } from "@nexengine/provision";

/** For a node that runs as root. */
const systemDirectory = "/var/lib/nex";

/** User ids of machines are shared by all nodes of a host. A reboot ends all machines. */
export const hostIdsDirectory = "/run/nex/ids";

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Rootfs trees. Machines reach them under their own user ids, so all parent directories must be accessible. */
export function defaultRootfsDirectory(): string {
  return isRoot() ? join(systemDirectory, "rootfs") : join(defaultCacheDirectory(), "rootfs");
}

/** Parent of the state directories of this user's nodes. */
export function defaultNodesDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.HOME || homedir(), ".nex", "nodes");
}
