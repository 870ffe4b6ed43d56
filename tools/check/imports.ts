import type { Scanned } from "./scan.ts";

/** One import, export-from or `import()` of a source. */
export interface Import {
  specifier: string;
  /** Gone when the program runs. */
  typeOnly: boolean;
  /** The names taken as values; `*` stands for all of them. */
  names: string[];
  /** Where its specifier stands in the text. */
  offset: number;
}

/** Statements begin a line or follow a `;`; between their words stands nothing that could be code. */
const fromStatement = /(?:^|[;\n])[ \t]*(import|export)\b([^"'`;=()]*?)\bfrom\s*(["'])/g;
const bareStatement = /(?:^|[;\n])[ \t]*import\s*(["'])/g;
const call = /(\btypeof\s+)?\bimport\s*\(\s*(["'])/g;

/** Lists what a source imports, in the order of the text. */
export function parseImports({ code, strings }: Scanned): Import[] {
  const byStart = new Map(strings.map((token) => [token.start, token]));
  const found: Import[] = [];
  const add = (match: RegExpMatchArray, typeOnly: boolean, names: string[]) => {
    const offset = match.index === undefined ? 0 : match.index + match[0].length - 1;
    const token = byStart.get(offset);
    if (token !== undefined) found.push({ specifier: token.value, typeOnly, names, offset });
  };
  for (const match of code.matchAll(fromStatement)) {
    const names = valueNames(match[2] ?? "");
    add(match, names.length === 0, names);
  }
  for (const match of code.matchAll(bareStatement)) add(match, false, []);
  for (const match of code.matchAll(call)) {
    // Without `typeof` it is an expression, or a type that names a member; the second is rare and counts as a value.
    const typeOnly = match[1] !== undefined;
    add(match, typeOnly, typeOnly ? [] : ["*"]);
  }
  return found.sort((a, b) => a.offset - b.offset);
}

/** The names between `import` and `from` that are not types. `import {} from` takes nothing, but runs the module. */
function valueNames(clause: string): string[] {
  const words = clause.trim();
  if (/^type\b(?!\s*,)/.test(words)) return [];
  const braces = /\{([^}]*)\}/.exec(words);
  const before = words
    .replace(/\{[^}]*\}/, "")
    .replace(/,/g, " ")
    .trim();
  const names = before === "" ? [] : [before.startsWith("*") ? "*" : "default"];
  for (const item of (braces?.[1] ?? "").split(",").map((text) => text.trim())) {
    if (item !== "" && !/^type\s/.test(item)) names.push(item.split(/\s+as\s+/)[0] ?? item);
  }
  return names;
}
