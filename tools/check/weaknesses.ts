import type { Finding } from "./finding.ts";
import { weaknesses } from "./rules.ts";
import type { Tree } from "./tree.ts";

const page = "docs/reference/differences.md";
const row = /^\| ([WSB]\d+) \|.*\| ([^|]+) \|$/gm;
/** As a name of a test has it: alone, or in a list in brackets. */
const numberInName = /(?:^|[\s(])([WSB][1-9]\d?)(?=[,) ]|$)/g;

/**
 * Each weakness of the Go Nex stands in the page of differences, with a test that has its number in its name, or with
 * the reason why there is none.
 */
export function checkWeaknesses(tree: Tree): Finding[] {
  const listed = new Map(
    [...(tree.files.get(page) ?? "").matchAll(row)].map(([, number, what]) => [number, what]),
  );
  const tested = testedNumbers(tree);
  const finding = (message: string): Finding => ({ path: page, message });
  return weaknesses.flatMap((number) => {
    const what = listed.get(number);
    if (what === undefined) return [finding(`does not list ${number}`)];
    const saysTested = /\btested\b/.test(what);
    if (saysTested && !tested.has(number))
      return [finding(`says that ${number} is tested, and no test has it in its name`)];
    if (!saysTested && tested.has(number))
      return [finding(`does not say that ${number} is tested, as a test's name does`)];
    return [];
  });
}

function testedNumbers(tree: Tree): Set<string> {
  const sources = tree
    .sources("packages/", "test/")
    .filter(({ path, isTest }) => isTest || path.startsWith("test/"));
  return new Set(
    sources
      .flatMap(({ scanned }) => scanned.strings)
      .filter(({ value }) => value.includes(" "))
      .flatMap(({ value }) => [...value.matchAll(numberInName)].map(([, number = ""]) => number)),
  );
}
