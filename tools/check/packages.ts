import { posix } from "node:path";
import type { Tree } from "./tree.ts";

/** The part of a `package.json` that the checks read. */
export interface PackageFile {
  /** The folder under `packages/`, or `""` for the root. */
  folder: string;
  path: string;
  name: string;
  version: string | undefined;
  /** Its doors: the specifier that a sibling imports, and the source file behind it. */
  doors: ReadonlyMap<string, string>;
  /** By the kind of dependency; a kind that is not there is empty. */
  dependencies: Record<DependencyKind, Record<string, string>>;
}

export const dependencyKinds = [
  "dependencies",
  "optionalDependencies",
  "peerDependencies",
  "devDependencies",
] as const;
type DependencyKind = (typeof dependencyKinds)[number];

/** Reads the `package.json` of the root and of each package. */
export function readPackages(tree: Tree): PackageFile[] {
  return [...tree.files.keys()]
    .filter((path) => /^(packages\/[^/]+\/)?package\.json$/.test(path))
    .map((path) => {
      const content = tree.json(path) as Record<string, unknown>;
      const kinds = dependencyKinds.map(
        (kind) => [kind, (content[kind] ?? {}) as Record<string, string>] as const,
      );
      return {
        folder: path.split("/")[1] ?? "",
        path,
        name: String(content.name),
        version: content.version as string | undefined,
        doors: readDoors(posix.dirname(path), content),
        dependencies: Object.fromEntries(kinds) as PackageFile["dependencies"],
      };
    });
}

/** Reads `"./tokens": { "nex-src": "./src/tokens/mod.ts" }` as the door `@nexengine/protocol/tokens`. Types alone are no door. */
function readDoors(folder: string, { name, exports = {} }: Record<string, unknown>): Map<string, string> {
  return new Map(
    Object.entries(exports as Record<string, { "nex-src"?: string }>).flatMap(([door, target]) => {
      const source = target["nex-src"];
      return source === undefined ? [] : [[posix.join(String(name), door), posix.join(folder, source)]];
    }),
  );
}

/** What a package has when it is installed; tests have the development dependencies too. */
export function declared(file: PackageFile, forTests: boolean): Set<string> {
  const kinds = dependencyKinds.filter((kind) => forTests || kind !== "devDependencies");
  return new Set(kinds.flatMap((kind) => Object.keys(file.dependencies[kind])));
}
