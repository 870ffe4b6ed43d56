/** Small trees in memory for the tests of the checks. */
import type { Finding } from "./finding.ts";
import { Tree } from "./tree.ts";

/** A tree of the files given, by path. */
export function treeOf(files: Record<string, string>): Tree {
  return new Tree(Object.entries(files));
}

/** The `package.json` of a package of ours, with a public and an internal door unless told otherwise. */
export function packageJson(
  name: string,
  dependencies: string[] = [],
  devDependencies: string[] = [],
  doors: Record<string, string> = { ".": "./src/mod.ts", "./internal": "./src/internal.ts" },
): string {
  const versions = (names: string[]) => Object.fromEntries(names.map((dependency) => [dependency, "1.0.0"]));
  const exports = Object.entries(doors).map(([door, target]) => [door, { "nex-src": target }]);
  return JSON.stringify({
    name,
    exports: Object.fromEntries(exports),
    dependencies: versions(dependencies),
    devDependencies: versions(devDependencies),
  });
}

/** Findings in short: `path:line message`. */
export function short(findings: Finding[]): string[] {
  return findings.map(
    ({ path, line, message }) => `${path}${line === undefined ? "" : `:${line}`} ${message}`,
  );
}
