/** The fenced blocks of the documents, and what their markers say of how they are tried. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** A block as it stands in a document. */
export interface DocBlock {
  /** From the root of the checkout. */
  file: string;
  /** Number of the line with its opening fence, from 1. */
  line: number;
  language: string;
  text: string;
  /** Why it can't run here: `<!-- not run: reason -->` in the line above it. */
  notRun: string | undefined;
  /** A sandbox or programs that it needs: `<!-- needs: container -->`, `<!-- needs: mkfs.ext4, apt-get -->`. */
  needs: readonly string[];
  /** The file that a reader writes it to: `<!-- file: greet.js -->`. Later commands use it. */
  fileName: string | undefined;
  /** The exit status of its commands: `<!-- exit: 8 -->`. */
  exitStatus: number;
}

/** All documents with blocks that must work. */
export function documents(): string[] {
  return ["README.md", ...globSync("docs/**/*.md", { cwd: root }).sort()];
}

/** The blocks of a document, in their order. */
export function blocksOf(file: string): DocBlock[] {
  const lines = readFileSync(join(root, file), "utf8").split("\n");
  const blocks: DocBlock[] = [];
  for (let at = 0; at < lines.length; at++) {
    const [, indent = "", language = ""] = /^(\s*)```(\S*)\s*$/.exec(lines[at] ?? "") ?? [];
    if (!/^\s*```/.test(lines[at] ?? "")) continue;
    const end = lines.findIndex((line, place) => place > at && line.trimEnd() === `${indent}\`\`\``);
    const marker = lines[at - 1] ?? "";
    blocks.push({
      file,
      line: at + 1,
      language,
      text: lines.slice(at + 1, end).join("\n"),
      notRun: /<!-- not run: (.+) -->/.exec(marker)?.[1],
      needs: /<!-- needs: (.+) -->/.exec(marker)?.[1]?.split(/,\s*/) ?? [],
      fileName: /<!-- file: (.+) -->/.exec(marker)?.[1],
      exitStatus: Number(/<!-- exit: (\d+) -->/.exec(marker)?.[1] ?? 0),
    });
    at = end;
  }
  return blocks;
}

/** The commands of a shell block: its lines, joined where a backslash says so, without comments. */
export function commandsOf({ text }: DocBlock): string[] {
  return text
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.replace(/(?:^|\s+)#.*$/, "").trim())
    .filter((line) => line !== "");
}
