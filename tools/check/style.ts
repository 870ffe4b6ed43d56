import type { Finding } from "./finding.ts";
import { openWork, rulesFolder, sourceLinesMax, wordsRefused } from "./rules.ts";
import type { Source, Tree } from "./tree.ts";

/** What the linter does not know: where subjects stand, how errors are thrown, and words that must not stand. */
export function checkStyle(tree: Tree): Finding[] {
  const packageSources = tree.sources("packages/").filter(({ path }) => path.includes("/src/"));
  const sources = tree.sources("packages/", "tools/", "test/", "bench/");
  return [
    ...packageSources
      .filter(({ isTest }) => !isTest)
      .flatMap((source) => [...subjects(source), ...plainErrors(source)]),
    ...sources.flatMap(tooLong),
    ...words(tree),
  ];
}

function subjects(source: Source): Finding[] {
  if (source.path.startsWith("packages/protocol/src/")) return [];
  return source.scanned.strings
    .filter(({ value }) => value.includes("$NEX."))
    .map(({ start }) => ({
      path: source.path,
      line: source.lineAt(start),
      message: "a subject is written out; build or parse it with a function of @nexengine/protocol",
    }));
}

function plainErrors(source: Source): Finding[] {
  return [...source.scanned.code.matchAll(/\bthrow\s+new\s+Error\s*\(/g)].map(({ index }) => ({
    path: source.path,
    line: source.lineAt(index),
    message: "throws a plain Error; throw one with a code",
  }));
}

function tooLong(source: Source): Finding[] {
  const lines = source.text.split("\n").length - 1;
  if (lines <= sourceLinesMax) return [];
  return [
    {
      path: source.path,
      message: `has ${lines} lines, and ${sourceLinesMax} is the most; split it by concern`,
    },
  ];
}

function words(tree: Tree): Finding[] {
  return [...tree.files].flatMap(([path, text]) => {
    if (path.startsWith(rulesFolder)) return [];
    const refused = wordsRefused.flatMap(({ pattern, why }) =>
      matches(path, text, pattern, (word) => `"${word}" is ${why}`),
    );
    // The lock file holds hashes, in which any three letters can stand.
    if (path === "package-lock.json") return refused;
    return [
      ...refused,
      ...matches(path, text, openWork, (word) => `"${word}": finish it, or open an issue and say so here`),
    ];
  });
}

function matches(path: string, text: string, pattern: RegExp, message: (word: string) => string): Finding[] {
  return [...text.matchAll(pattern)].map((match) => ({
    path,
    line: text.slice(0, match.index).split("\n").length,
    message: message(match[0]),
  }));
}
