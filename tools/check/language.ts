/** The worst patterns of prose that is hard to read: in comments, names, messages, test titles and documents. */
import type { Finding } from "./finding.ts";
import { type Paragraph, paragraphsOf, sentencesOf, wordCount } from "./prose.ts";
import {
  lackAsNoun,
  oncePerParagraph,
  rulesFolder,
  sentenceWordsMax,
  startRefused,
  wordsReplaced,
} from "./rules.ts";
import { type CommentToken, scan } from "./scan.ts";
import type { Tree } from "./tree.ts";

const proseFile = /\.md$/;
const codeFile = /\.(?:ts|mjs|js)$/;
const words = wordsReplaced.map(({ word, use }) => ({ pattern: asPartOfName(word), use }));

/** Checks every text of ours; recorded messages of others are data. */
export function checkLanguage(tree: Tree): Finding[] {
  return [...tree.files]
    .filter(([path]) => !path.startsWith(rulesFolder) && !path.includes("/fixtures/"))
    .flatMap(([path, text]) => {
      const name = replacedWords(path).map(({ message }) => ({
        path,
        message: `the name of the file: ${message}`,
      }));
      if (proseFile.test(path)) return [...name, ...checkDocument(path, text)];
      if (codeFile.test(path)) return [...name, ...checkSource(path, text)];
      return name;
    });
}

function checkDocument(path: string, text: string): Finding[] {
  const paragraphs = paragraphsOf(text);
  return [
    ...located(path, text, replacedWords(text)),
    ...located(path, text, nounsIn(text)),
    ...paragraphs.flatMap((paragraph) => [
      ...startsOf(path, paragraph),
      ...longSentences(path, paragraph),
      ...repeated(path, paragraph),
    ]),
  ];
}

function checkSource(path: string, text: string): Finding[] {
  const { code, comments, strings } = scan(text);
  const inCode = [...code.matchAll(lackAsNoun.inCode)].map((match) => refusal(match, lackAsNoun.use));
  const inStrings = strings.flatMap(({ start, value }) => shifted(nounsIn(value), start + 1));
  return [
    ...located(path, text, replacedWords(text)),
    ...located(path, text, [...inCode, ...inStrings]),
    ...comments.flatMap((comment) => checkComment(path, lineAt(text, comment.start), comment)),
  ];
}

function checkComment(path: string, line: number, { text }: CommentToken): Finding[] {
  const start = refusedStart(sentencesOf(text)[0] ?? "");
  const findings: Finding[] = nounsIn(text).map(({ message }) => ({ path, line, message }));
  if (start !== undefined)
    findings.push({ path, line, message: `a comment begins with "${start}"; begin with the subject` });
  for (const paragraph of text.split(/\n\s*\n/)) findings.push(...repeated(path, { line, text: paragraph }));
  return findings;
}

function refusedStart(sentence: string): string | undefined {
  return /\?[*_]*$/.test(sentence) ? undefined : startRefused.exec(sentence)?.[1];
}

function startsOf(path: string, { line, text }: Paragraph): Finding[] {
  return sentencesOf(text).flatMap((sentence) => {
    const start = refusedStart(sentence);
    if (start === undefined) return [];
    return [{ path, line, message: `a sentence begins with "${start}"; begin with the subject` }];
  });
}

function longSentences(path: string, { line, text }: Paragraph): Finding[] {
  return sentencesOf(text).flatMap((sentence) => {
    const count = wordCount(sentence);
    if (count <= sentenceWordsMax) return [];
    const head = sentence.split(/\s+/).slice(0, 6).join(" ");
    const message = `a sentence has ${count} words, and ${sentenceWordsMax} is the most: "${head} …"`;
    return [{ path, line, message }];
  });
}

function repeated(path: string, { line, text }: Paragraph): Finding[] {
  const found = text.match(oncePerParagraph) ?? [];
  if (found.length < 2) return [];
  return [
    { path, line, message: `"${found[0]}" stands ${found.length} times in a paragraph; once is the most` },
  ];
}

/** A refused word, and where it stands in the text. */
interface Refusal {
  offset: number;
  message: string;
}

function replacedWords(text: string): Refusal[] {
  return words.flatMap(({ pattern, use }) => [...text.matchAll(pattern)].map((match) => refusal(match, use)));
}

function nounsIn(text: string): Refusal[] {
  return [...text.matchAll(lackAsNoun.inText)].map((match) => refusal(match, lackAsNoun.use));
}

function refusal({ 0: word, index }: RegExpExecArray, use: string): Refusal {
  return { offset: index, message: `"${word}": say ${use}` };
}

function shifted(refusals: Refusal[], by: number): Refusal[] {
  return refusals.map(({ offset, message }) => ({ offset: offset + by, message }));
}

function located(path: string, text: string, refusals: Refusal[]): Finding[] {
  return refusals.map(({ offset, message }) => ({ path, line: lineAt(text, offset), message }));
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** Finds a word, its plural, and the word in a name such as `endOfFate`; but not inside another word. */
function asPartOfName(word: string): RegExp {
  const upper = word.replace(/^./, (letter) => letter.toUpperCase());
  return new RegExp(`(?<![A-Za-z])${word}s?(?![a-z])|${upper}s?(?![a-z])`, "g");
}
