/** Adds a directory of this host to a base. */
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { mountPoints } from "../texts.ts";
import { anyExecute, type Base, demandBytes, othersEnter, othersRead } from "./base.ts";

/**
 * Adds a directory of this host to a base. Links are kept and not followed.
 *
 * @param mayChange The directory belongs to someone else, who may change its files.
 * @throws MachineError `rootfs_failed`
 */
export async function addDirectory(base: Base, root: string, mayChange: boolean): Promise<void> {
  const { tree, special } = base;
  const places = ["/"];
  for (let place = places.pop(); place !== undefined; place = places.pop()) {
    for (const name of await readdir(join(root, place))) {
      const inside = join(place, name);
      const path = join(root, inside);
      if (mountPoints.includes(inside)) continue;
      const facts = await lstat(path);
      if (facts.isSymbolicLink()) tree.put(inside, { kind: "link", target: await readlink(path) });
      else if (facts.isDirectory()) {
        tree.put(inside, { kind: "directory", isPrivate: (facts.mode & othersEnter) !== othersEnter });
        places.push(inside);
      } else if (facts.isFile()) {
        base.bytes += facts.size;
        demandBytes(base.bytes, root);
        tree.put(inside, {
          kind: "file",
          source: { path, ...(mayChange && { mayChange }) },
          executable: (facts.mode & anyExecute) !== 0,
          isPrivate: (facts.mode & othersRead) === 0,
        });
      } else special.push(inside);
    }
  }
}
