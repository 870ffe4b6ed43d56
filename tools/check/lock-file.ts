import type { Finding } from "./finding.ts";
import { dependencyKinds, type PackageFile, readPackages } from "./packages.ts";
import type { Tree } from "./tree.ts";

const path = "package-lock.json";
const exactVersion = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

interface LockEntry {
  resolved?: string;
  integrity?: string;
  link?: boolean;
  [kind: string]: unknown;
}

/** That an installation is the same everywhere: exact versions, hashes for all, and no host in the lock file. */
export function checkLockFile(tree: Tree): Finding[] {
  const lock = tree.json(path) as { packages?: Record<string, LockEntry> } | undefined;
  if (lock?.packages === undefined) return [{ path, message: "is not there; make it with npm install" }];
  const entries = lock.packages;
  const packages = readPackages(tree);
  return [
    ...Object.entries(entries).flatMap(([name, entry]) => checkEntry(name, entry)),
    ...packages.flatMap(checkVersions),
    ...packages.flatMap((file) => checkInStep(file, entries)),
  ];
}

function checkEntry(name: string, entry: LockEntry): Finding[] {
  const findings: Finding[] = [];
  if (entry.resolved !== undefined && /^https?:/.test(entry.resolved)) {
    findings.push({
      path,
      message: `${name} names the host it came from; keep omit-lockfile-registry-resolved in .npmrc`,
    });
  }
  const isInstalled = /(^|\/)node_modules\//.test(name) && entry.link !== true;
  if (isInstalled && entry.integrity === undefined) {
    findings.push({ path, message: `${name} has no integrity; install it again` });
  }
  return findings;
}

function checkVersions(file: PackageFile): Finding[] {
  return dependencyKinds.flatMap((kind) =>
    Object.entries(file.dependencies[kind])
      .filter(([, version]) => kind !== "peerDependencies" && !exactVersion.test(version))
      .map(([name, version]) => ({
        path: file.path,
        message: `${name} is "${version}"; name one version exactly`,
      })),
  );
}

function checkInStep(file: PackageFile, entries: Record<string, LockEntry>): Finding[] {
  const key = file.path.replace(/\/?package\.json$/, "");
  return dependencyKinds.flatMap((kind) => {
    const locked = (entries[key]?.[kind] ?? {}) as Record<string, string>;
    return Object.entries(file.dependencies[kind])
      .filter(([name, version]) => locked[name] !== version)
      .map(([name, version]) => ({
        path: file.path,
        message: `${name} ${version} is not in step with ${path} (${locked[name] ?? "absent"}); run npm install`,
      }));
  });
}
