import { posix } from "node:path";
import type { Finding } from "./finding.ts";
import type { Import } from "./imports.ts";
import { driverName, nodeFolders } from "./rules.ts";
import type { Source, Tree } from "./tree.ts";

const base = "packages/node/src/";
const { inOrder, beside, closedToBeside, composer, composerImporters, driversFile } = nodeFolders;

/** The order of the folders inside the node, that one file composes them, and that one file names the drivers. */
export function checkNodeFolders(tree: Tree): Finding[] {
  const sources = tree.sources(base);
  const findings = unknownFolders(sources);
  for (const source of sources.filter(({ isTest }) => !isTest)) {
    for (const imported of source.imports) {
      const message = whyRefused(source, imported);
      if (message !== undefined)
        findings.push({ path: source.path, line: source.lineAt(imported.offset), message });
    }
  }
  return findings;
}

function unknownFolders(sources: Source[]): Finding[] {
  const known = new Set<string>([...inOrder.flat(), ...beside, "testing", ""]);
  const folders = new Set(sources.map(({ path }) => folderOf(path)));
  return [...folders]
    .filter((folder) => !known.has(folder))
    .map((folder) => ({
      path: base + folder,
      message: `folder "${folder}" has no place in the order; give it one in tools/check/rules.ts`,
    }));
}

function whyRefused(source: Source, imported: Import): string | undefined {
  if (imported.specifier.startsWith("@nexengine/machines")) return whyDriverRefused(source, imported);
  if (!imported.specifier.startsWith(".")) return undefined;
  const target = posix.join(posix.dirname(source.path), imported.specifier);
  if (!target.startsWith(base)) return undefined;
  const file = source.path.slice(base.length);
  if (target === base + composer && !(composerImporters as readonly string[]).includes(file)) {
    return `only ${composerImporters.join(" and ")} may import ${composer}; pass what is needed as an argument`;
  }
  const from = folderOf(source.path);
  const to = folderOf(target);
  if (from === to || to === "") return undefined;
  if (from === "") return whyRootRefused(file, to);
  return whyOrderRefused(from, to);
}

/** A file beside the composer that takes the control API would hold the whole too. */
function whyRootRefused(file: string, to: string): string | undefined {
  if (file === composer || (composerImporters as readonly string[]).includes(file)) return undefined;
  if (!(closedToBeside as readonly string[]).includes(to)) return undefined;
  return `only ${composer} composes: ${file} may not import ${to}`;
}

function whyOrderRefused(from: string, to: string): string | undefined {
  const fromRank = rankOf(from);
  const toRank = rankOf(to);
  if (fromRank === undefined) {
    if (!(closedToBeside as readonly string[]).includes(to)) return undefined;
    return `${from} stands beside the order and may not import ${to}`;
  }
  if (toRank === undefined || toRank >= fromRank) return undefined;
  return `${from} may not import ${to}: the order is ${inOrder.map((rank) => rank.join(", ")).join(" → ")}`;
}

function whyDriverRefused(source: Source, { names }: Import): string | undefined {
  const drivers = names.filter((name) => driverName.test(name));
  if (drivers.length === 0 || source.path === base + driversFile) return undefined;
  return `only ${driversFile} names drivers, not this file (${drivers.join(", ")}); import the type, or ask ${driversFile}`;
}

function rankOf(folder: string): number | undefined {
  const rank = inOrder.findIndex((folders) => (folders as readonly string[]).includes(folder));
  return rank === -1 ? undefined : rank;
}

function folderOf(path: string): string {
  const parts = path.slice(base.length).split("/");
  return parts.length > 1 ? (parts[0] ?? "") : "";
}
