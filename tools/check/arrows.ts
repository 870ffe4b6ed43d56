import { isBuiltin } from "node:module";
import { posix } from "node:path";
import type { Finding } from "./finding.ts";
import type { Import } from "./imports.ts";
import { declared, type PackageFile, readPackages } from "./packages.ts";
import { builtinsAllowed, packageArrows, testArrows } from "./rules.ts";
import type { Source, Tree } from "./tree.ts";

const scope = "@nexengine/";

/** Who may import whom between packages, that each declares what it imports, and that none reaches into another. */
export function checkArrows(tree: Tree): Finding[] {
  const packages = readPackages(tree);
  const findings = packages.flatMap(checkDeclarations);
  for (const file of packages.filter(({ folder }) => folder !== "")) {
    for (const source of tree.sources(`packages/${file.folder}/src/`)) {
      for (const imported of source.imports) {
        const message = whyRefused(packages, file, source, imported);
        if (message !== undefined)
          findings.push({ path: source.path, line: source.lineAt(imported.offset), message });
      }
    }
  }
  return [...findings, ...checkTools(tree, packages)];
}

function checkDeclarations(file: PackageFile): Finding[] {
  if (file.folder === "") return [];
  const allowed = packageArrows[file.folder];
  if (allowed === undefined) {
    return [
      {
        path: file.path,
        message: `package "${file.folder}" has no line in the table of tools/check/rules.ts`,
      },
    ];
  }
  return [...declared(file, false)]
    .filter((name) => name.startsWith(scope) && !allowed.includes(name.slice(scope.length)))
    .map((name) => ({
      path: file.path,
      message: `"${file.folder}" may not depend on ${name}; it may on ${list(allowed)}`,
    }));
}

function whyRefused(
  packages: PackageFile[],
  file: PackageFile,
  source: Source,
  { specifier }: Import,
): string | undefined {
  if (specifier.startsWith(".")) return whyRelativeRefused(file, source, specifier);
  if (isBuiltin(specifier)) {
    const allowed = builtinsAllowed[file.folder];
    if (source.isTest || allowed === undefined || allowed.includes(specifier)) return undefined;
    return `"${file.folder}" may not import ${specifier}; of the builtin modules it may import ${list(allowed)}`;
  }
  const name = packageName(specifier);
  if (name.startsWith(scope)) {
    const target = name.slice(scope.length);
    const allowed = [...(packageArrows[file.folder] ?? []), ...(source.isTest ? testArrows : [])];
    if (!allowed.includes(target))
      return `"${file.folder}" may not import ${name}; it may import ${list(allowed)}`;
    const doors = packages.find((other) => other.name === name)?.doors;
    if (doors !== undefined && !doors.has(specifier))
      return `${specifier} is not a door of ${name}; its doors are ${list([...doors.keys()])}`;
  }
  if (declared(file, source.isTest).has(name)) return undefined;
  return `${name} is not declared in ${file.path}; add it there, or import something else`;
}

function whyRelativeRefused(file: PackageFile, source: Source, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(source.path), specifier);
  if (target.startsWith(`packages/${file.folder}/`)) return undefined;
  return `${specifier} leaves the package; import another package by its name`;
}

/** Tools, tests and benchmarks of the whole may use whatever the workspace declares. */
function checkTools(tree: Tree, packages: PackageFile[]): Finding[] {
  const known = new Set(packages.flatMap((file) => [file.name, ...declared(file, true)]));
  return tree.sources("tools/", "test/", "bench/").flatMap((source) =>
    source.imports
      .filter(({ specifier }) => !specifier.startsWith(".") && !isBuiltin(specifier))
      .filter(({ specifier }) => !known.has(packageName(specifier)))
      .map(({ specifier, offset }) => ({
        path: source.path,
        line: source.lineAt(offset),
        message: `${packageName(specifier)} is declared in no package.json of the workspace`,
      })),
  );
}

function packageName(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.join(", ");
}
