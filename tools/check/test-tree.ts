/** Small trees in memory for the tests of the checks. */
import type { Finding } from "./finding.ts";
import { Tree } from "./tree.ts";

/** A tree of the files given, by path. */
export function treeOf(files: Record<string, string>): Tree {
  return new Tree(Object.entries(files));
}

/** The `package.json` of a package of ours. */
export function packageJson(
  name: string,
  dependencies: string[] = [],
  devDependencies: string[] = [],
): string {
  const versions = (names: string[]) => Object.fromEntries(names.map((dependency) => [dependency, "1.0.0"]));
  const content = { name, dependencies: versions(dependencies), devDependencies: versions(devDependencies) };
  return JSON.stringify(content);
}

/** Findings in short: `path:line message`. */
export function short(findings: Finding[]): string[] {
  return findings.map(
    ({ path, line, message }) => `${path}${line === undefined ? "" : `:${line}`} ${message}`,
  );
}
