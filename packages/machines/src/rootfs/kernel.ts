/** Finds a kernel and the modules that a microVM needs. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { MachineError } from "../errors.ts";
import { isKernel, uncompressedKernel } from "./kernel-image.ts";

/** A kernel with the modules that a machine needs. */
export interface Kernel {
  version: string;
  /** Kernel as an ELF file. */
  image: Buffer;
  /** Modules in load order. */
  modules: KernelModule[];
}

interface KernelModule {
  name: string;
  data: Buffer;
}

/** Modules for disks, channels, buses, entropy and egress. Built-in ones are skipped. */
const guestModules: readonly string[] = [
  ...["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_console", "virtio_rng", "virtio_net"],
  ...["vmw_vsock_virtio_transport", "ext4", "squashfs"],
];

/**
 * Finds the kernel in an unpacked package or in `/`: `boot/vmlinuz-<version>` and `lib/modules/<version>`.
 *
 * @param wanted Module names; their dependencies are included.
 * @throws MachineError `rootfs_failed`
 */
export async function findKernel(tree: string, wanted: readonly string[] = guestModules): Promise<Kernel> {
  const failed = (why: string): MachineError =>
    new MachineError("rootfs_failed", `Cannot take a kernel from "${tree}": ${why}`);
  const names = await readdir(join(tree, "boot")).catch(() => [] as string[]);
  const versions = names.flatMap((name) => /^vmlinuz-(.+)$/.exec(name)?.[1] ?? []).sort();
  const version = versions.at(-1);
  if (version === undefined) throw failed('it has no "boot/vmlinuz-<version>"');
  const path = join(tree, "boot", `vmlinuz-${version}`);
  const packed = await readFile(path).catch((cause: Error) => {
    throw failed(cause.message);
  });
  if (!isKernel(packed)) throw failed(`"${path}" is no Linux kernel for x86-64`);
  const image = unpacked(packed, (why) => failed(`"${path}" can't be unpacked: ${why}`));
  const directory = join(tree, "lib", "modules", version);
  const builtIn = await readFile(join(directory, "modules.builtin"), "utf8").catch(() => undefined);
  if (builtIn === undefined) throw failed(`it has no modules of the version ${version}`);
  const files = await moduleFiles(directory);
  return {
    version,
    image,
    modules: await modulesInOrder(wanted, files, new Set(moduleNames(builtIn)), failed),
  };
}

function unpacked(kernel: Buffer, failed: (why: string) => MachineError): Buffer {
  try {
    return uncompressedKernel(kernel);
  } catch (error) {
    throw failed(error instanceof Error ? error.message : String(error));
  }
}

async function moduleFiles(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(join(directory, "kernel"), { recursive: true, withFileTypes: true })) {
    const name = moduleName(entry.name);
    if (name !== undefined) found.set(name, join(entry.parentPath, entry.name));
  }
  return found;
}

/** `-` and `_` are equivalent in module names. */
function moduleName(file: string): string | undefined {
  return /^(.+)\.ko(?:\.(?:xz|zst|gz))?$/.exec(file)?.[1]?.replaceAll("-", "_");
}

function moduleNames(list: string): string[] {
  return list.split("\n").flatMap((line) => moduleName(line.split("/").at(-1) ?? "") ?? []);
}

async function modulesInOrder(
  wanted: readonly string[],
  files: ReadonlyMap<string, string>,
  builtIn: ReadonlySet<string>,
  failed: (why: string) => MachineError,
): Promise<KernelModule[]> {
  const ordered = new Map<string, KernelModule>();
  const visited = new Set<string>();
  const take = async (name: string): Promise<void> => {
    if (builtIn.has(name) || visited.has(name)) return;
    visited.add(name);
    const path = files.get(name);
    if (path === undefined) throw failed(`its module "${name}" is missing`);
    if (!path.endsWith(".ko")) throw failed(`its modules are compressed (${path}), which is not supported`);
    const data = await readFile(path);
    for (const need of dependencies(data)) await take(need);
    ordered.set(name, { name, data });
  };
  for (const name of wanted) await take(name);
  return [...ordered.values()];
}

/** Reads the dependencies that a module declares. */
function dependencies(module: Buffer): string[] {
  const start = module.indexOf("\0depends=");
  if (start < 0) return [];
  const text = module.toString("latin1", start + 9, module.indexOf(0, start + 1));
  return text.split(",").flatMap((name) => (name === "" ? [] : name.replaceAll("-", "_")));
}
