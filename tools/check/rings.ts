import type { Finding } from "./finding.ts";
import { importGraph, rings } from "./graph.ts";
import type { Tree } from "./tree.ts";

/** Rings of imports between files. Rings that hold by types alone do no harm at run time and are counted only. */
export function checkRings(tree: Tree): { findings: Finding[]; typeRings: number } {
  const sources = tree.sources("packages/", "tools/", "test/", "bench/");
  const ofValues = rings(importGraph(tree, sources, false));
  const ofTypes = rings(importGraph(tree, sources, true));
  return {
    findings: ofValues.map((group) => ({
      path: group[0] ?? "",
      message: `imports itself in a ring: ${group.join(", ")}; move what they share into a file of its own`,
    })),
    typeRings: ofTypes.filter((group) => !ofValues.some((ring) => ring.every((file) => group.includes(file))))
      .length,
  };
}
