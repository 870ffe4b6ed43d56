/** Puts programs of the distribution on the host, where that can be done without asking. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { bootFilesIn, buildBootFiles, fetchBootPackages } from "@nexengine/machines";
import { runProgram } from "@nexengine/provision/internal";

const installTimeoutMs = 300_000;

/** Is told, in a line, what is done that takes a while. */
export type Report = (line: string) => void;

/** Programs that container machines need, and the packages of Debian and its kin that have them. */
const containerTools: Readonly<Record<string, string>> = { runc: "runc", nft: "nftables", ip: "iproute2" };

const qemuProgram = "qemu-system-x86_64";
/** The same for microVMs; without the last, images are ext4 only. */
const microVmTools: Readonly<Record<string, string>> = {
  [qemuProgram]: "qemu-system-x86",
  mksquashfs: "squashfs-tools",
};

/** Is there such a program on the path? */
export function hasProgram(name: string): boolean {
  return programsNamed(name).length > 0;
}

/** All programs of that name on the path, the first one first. */
export function programsNamed(name: string): string[] {
  const places = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, name));
  return places.filter((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Installs packages with apt-get. @returns whether that worked; it can't without root, or without apt-get. */
export async function installPackages(names: readonly string[], report: Report): Promise<boolean> {
  if (process.getuid?.() !== 0 || !hasProgram("apt-get")) return false;
  report(`Installing ${names.join(", ")} with apt-get`);
  const options = { timeoutMs: installTimeoutMs, env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  const install = ["install", "-y", "-qq", "--no-install-recommends", ...names];
  return (
    (await runProgram("apt-get", ["update", "-qq"], options)).ok &&
    (await runProgram("apt-get", install, options)).ok
  );
}

/** Installs what containers need and this host lacks; as another user than root it leaves the host as it is. */
export async function installContainerTools(report: Report): Promise<void> {
  const missing = Object.entries(containerTools).filter(([program]) => !hasProgram(program));
  if (missing.length > 0)
    await installPackages(
      missing.map(([, name]) => name),
      report,
    );
}

/**
 * Installs QEMU where that can be done without asking, and writes what its machines boot.
 *
 * @returns the directory of the boot files; `undefined`, with a reported reason, where there can be none.
 */
export async function prepareMicroVms(cacheDirectory: string, report: Report): Promise<string | undefined> {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  const missing = Object.entries(microVmTools).filter(([program]) => !hasProgram(program));
  if (missing.length > 0)
    await installPackages(
      missing.map(([, name]) => name),
      report,
    );
  if (!hasProgram(qemuProgram)) {
    report(`MicroVMs are not tested: "${qemuProgram}" is not here. apt-get install qemu-system-x86`);
    return undefined;
  }
  try {
    const packages = await fetchBootPackages(join(cacheDirectory, "packages"));
    const directory = join(cacheDirectory, "microvm");
    const { version } = await buildBootFiles(packages, bootFilesIn(directory));
    report(`MicroVMs boot Linux ${version}`);
    return directory;
  } catch (error) {
    report(`MicroVMs are not tested: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}
