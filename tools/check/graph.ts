import { posix } from "node:path";
import type { Import } from "./imports.ts";
import { readPackages } from "./packages.ts";
import type { Source, Tree } from "./tree.ts";

/** Which files of the tree a file leads to. */
export type Graph = Map<string, string[]>;

/** The imports between files; with or without those that are types only. */
export function importGraph(tree: Tree, sources: Source[], withTypes: boolean): Graph {
  const doors = new Map(readPackages(tree).flatMap((file) => [...file.doors]));
  /** The file that an import means, when it is one of ours. */
  const resolve = (source: Source, { specifier }: Import): string[] => {
    const relative = posix.join(posix.dirname(source.path), specifier);
    const path = specifier.startsWith(".") ? relative : doors.get(specifier);
    return path !== undefined && tree.files.has(path) ? [path] : [];
  };
  return new Map(
    sources.map((source) => {
      const targets = source.imports
        .filter(({ typeOnly }) => withTypes || !typeOnly)
        .flatMap((imported) => resolve(source, imported));
      return [source.path, [...new Set(targets)]];
    }),
  );
}

/** The groups of files that import each other in a ring, each sorted (strongly connected components, after Tarjan). */
export function rings(graph: Graph): string[][] {
  const found: string[][] = [];
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const visit = (file: string): number => {
    const own = order.size;
    order.set(file, own);
    lowest.set(file, own);
    stack.push(file);
    let low = own;
    for (const target of graph.get(file) ?? []) {
      if (!order.has(target)) low = Math.min(low, visit(target));
      else if (stack.includes(target)) low = Math.min(low, order.get(target) ?? low);
    }
    if (low === own) {
      const group = stack.splice(stack.indexOf(file));
      if (group.length > 1 || graph.get(file)?.includes(file)) found.push(group.sort());
    }
    return low;
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return found;
}
