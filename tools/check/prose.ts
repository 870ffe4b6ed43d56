/** Documents taken apart into paragraphs and sentences. */

/** A paragraph, an item of a list or a cell of a table, and its first line, from 1. */
export interface Paragraph {
  line: number;
  text: string;
}

const fence = /^\s*(?:```|~~~)/;
const listItem = /^\s*(?:[-*+]|\d+\.)\s+/;
const heading = /^\s*#/;
const markup = /^\s*<!--.*-->\s*$/;
const quote = /^\s*>/;

/** The prose of a Markdown text without headings, comments and code blocks. */
export function paragraphsOf(markdown: string): Paragraph[] {
  const found: Paragraph[] = [];
  let open: Paragraph | undefined;
  let inCode = false;
  for (const [index, line] of markdown.split("\n").entries()) {
    if (fence.test(line)) inCode = !inCode;
    const isGap = line.trim() === "" || heading.test(line) || markup.test(line);
    if (inCode || fence.test(line) || isGap) open = undefined;
    else if (line.trimStart().startsWith("|")) {
      open = undefined;
      for (const cell of line.split(/(?<!\\)\|/)) found.push({ line: index + 1, text: cell.trim() });
    } else if (open === undefined || listItem.test(line) || quote.test(line)) {
      open = { line: index + 1, text: line.replace(listItem, "").replace(quote, "").trim() };
      found.push(open);
    } else open.text += ` ${line.trim()}`;
  }
  return found;
}

/** The sentences of a paragraph. A sentence ends with a mark before a capital letter, code or a bracket. */
export function sentencesOf(text: string): string[] {
  return text
    .replace(/\s+/g, " ")
    .trim()
    .split(/(?<=[.!?][)"”*_`]*) (?=[*_"“([]*[A-Z0-9`$])/);
}

/** How many words a sentence has; code in a line is one. */
export function wordCount(sentence: string): number {
  return sentence
    .replace(/`[^`]*`/g, "code")
    .replace(/\]\([^)]*\)/g, "]")
    .split(/\s+/)
    .filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}
