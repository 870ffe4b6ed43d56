import { posix } from "node:path";
import type { Finding } from "./finding.ts";
import { importGraph } from "./graph.ts";
import { entryFiles } from "./rules.ts";
import type { Source, Tree } from "./tree.ts";

/** Source files that nothing leads to: no import, and no string that names them as a program to start. */
export function checkOrphans(tree: Tree): Finding[] {
  const sources = tree.sources("packages/", "tools/", "test/", "bench/");
  const imports = importGraph(tree, sources, true);
  const byName = Map.groupBy(sources, ({ path }) => posix.basename(path));
  const bySource = new Map(sources.map((source) => [source.path, source]));
  const reached = new Set<string>();
  const waiting = sources
    .map(({ path }) => path)
    .filter((path) => entryFiles.some((entry) => entry.test(path)));
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const source = bySource.get(path);
    if (source === undefined || reached.has(path)) continue;
    reached.add(path);
    waiting.push(...(imports.get(path) ?? []), ...namedBy(source, bySource, byName));
  }
  return sources
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => ({ path, message: "nothing imports or starts this file; use it or remove it" }));
}

/** `new URL("./guest.ts", import.meta.url)`, or the last part of a path that is put together. */
function namedBy(source: Source, known: Map<string, Source>, byName: Map<string, Source[]>): string[] {
  return source.scanned.strings
    .filter(({ value }) => value.endsWith(".ts"))
    .flatMap(({ value }) => {
      const relative = posix.join(posix.dirname(source.path), value);
      if (known.has(relative)) return [relative];
      if (known.has(value)) return [value];
      return value.includes("/") ? [] : (byName.get(value) ?? []).map(({ path }) => path);
    });
}
