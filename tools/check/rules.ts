/** The rules of the checkers, as data: to change what is allowed, change a table here. */

/** Which packages a package may import (its own name is the folder under `packages/`). */
export const packageArrows: Record<string, readonly string[]> = {
  protocol: [],
  provision: ["protocol"],
  machines: [],
  agent: ["protocol"],
  client: ["protocol"],
  node: ["protocol", "provision", "machines"],
  cli: ["protocol", "provision", "machines", "client", "node"],
  testing: ["protocol", "provision", "machines", "client", "node"],
};

/** What tests may import beside that. */
export const testArrows: readonly string[] = ["testing"];

/** The builtin modules that a package may use, where that is limited. `protocol` opens nothing and reads nothing. */
export const builtinsAllowed: Record<string, readonly string[]> = {
  protocol: ["node:buffer", "node:crypto", "node:stream", "node:util", "node:v8"],
};

/** The folders of `packages/node/src`: each may import those after it, never one before it. */
export const nodeFolders = {
  inOrder: [
    ["control-api"],
    ["admission"],
    ["workloads"],
    ["functions"],
    ["machines", "artifacts"],
    ["agent-client"],
  ],
  /** These may be imported from everywhere, and may import all but the ones in `closedToBeside`. */
  beside: [
    ...["budget", "config", "connections", "hand-over", "host-services", "ingress", "sandbox", "state"],
    "telemetry",
  ],
  closedToBeside: ["control-api", "admission"],
  /** The file that holds the whole, and the files that may import it. */
  composer: "node.ts",
  composerImporters: ["mod.ts", "internal.ts"],
  /** The only file that takes driver classes from the package of drivers. */
  driversFile: "sandbox/kinds.ts",
} as const;

/** Names that only {@link nodeFolders.driversFile} takes from `@nexengine/machines`. */
export const driverName = /Driver$|^\*$/;

/** The numbers of the Go Nex's weaknesses. */
export const weaknesses: readonly string[] = [
  ["W", 7] as const,
  ["S", 14] as const,
  ["B", 27] as const,
].flatMap(([letter, count]) => Array.from({ length: count }, (_, at) => `${letter}${at + 1}`));

/** The longest source file. */
export const sourceLinesMax = 500;

/** Files that something other than an import leads to. */
export const entryFiles: readonly RegExp[] = [
  /^packages\/[^/]+\/src\/(mod|internal|main)\.ts$/,
  /^packages\/client\/function\.d\.ts$/,
  /\.test\.ts$/,
  /^(tools|bench)\/[^/]+\.ts$/,
];

/** What must stand in no file: paths of one machine, and hosts that depend on where the packages come from. */
export const wordsRefused: readonly { pattern: RegExp; why: string }[] = [
  { pattern: /(?<![\w.~/])\/(?:work|root|home\/\w+)\//g, why: "a path of one machine" },
  {
    pattern: /registry\.(?:npmjs|yarnpkg)|\bpypi\.org|pythonhosted|(?:proxy|sum)\.golang|deb\.debian\.org/g,
    why: "the host of a registry",
  },
];

/**
 * Words that begin no comment, and no sentence of a document, unless it is a question: they begin an inverted clause, or
 * a phrase without its noun.
 */
export const startRefused = /^[*_]*(What|Of|Those|So many|So often|So long)\b/;

/** Words that stand nowhere, also not in a name, and the word of the field. */
export const wordsReplaced: readonly { word: string; use: string }[] = [
  { word: "deed", use: "action" },
  { word: "fate", use: "exit status, or outcome" },
  { word: "former", use: "previous" },
  { word: "manieth", use: "sequence number" },
];

/** "lack" as a noun, in prose and as a name; the verb is fine. */
export const lackAsNoun = {
  inText: /\b(?:a|an|any|each|every|for|no|one|the|this|which) lacks?\b(?= of\b|[.,:;)]|$)/gi,
  inCode: /\black\b|\black(?=[A-Z])|Lack\b/g,
  use: "unmet requirement",
} as const;

/** A phrase that a paragraph of a document, or of a comment, has once at the most. */
export const oncePerParagraph = /\bof its own\b/gi;

/** The most words in a sentence of a document. */
export const sentenceWordsMax = 40;

/** Marks of work that is not done. */
export const openWork = /\b(?:FIXME|TODO|XXX)\b/g;

/** The files that may name what the rules refuse: the rules themselves and their tests. */
export const rulesFolder = "tools/check/";
