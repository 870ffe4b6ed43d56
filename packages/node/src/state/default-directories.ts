/** Where a node keeps things unless it is told. */
import { homedir } from "node:os";
import { join } from "node:path";
import { defaultCacheDirectory } from "../nats-server/cache-directory.ts";

/** Of a node that runs as root. */
const systemDirectory = "/var/lib/nex";

/** Which user ids machines have is one matter of all nodes of a host; a restart of the host ends them all. */
export const hostIdsDirectory = "/run/nex/ids";

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Rootfs trees: machines reach them as users of their own, so the folders above must let everybody through. */
export function defaultRootfsDirectory(): string {
  return isRoot() ? join(systemDirectory, "rootfs") : join(defaultCacheDirectory(), "rootfs");
}

/** The parent of the state directories of this user's nodes. */
export function defaultNodesDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.HOME || homedir(), ".nex", "nodes");
}
