/** A string of a source: its place with the quotes, and what stands between them, unescaped not at all. */
interface StringToken {
  start: number;
  end: number;
  value: string;
}

/** A comment: its place with the marks, and the lines between them without marks, stars and indentation. */
export interface CommentToken {
  start: number;
  text: string;
}

/** A source taken apart into code, strings and comments, without a parser. */
export interface Scanned {
  /** The text with the content of strings, comments and regular expressions blanked; offsets and lines stay. */
  code: string;
  /** Templates count once for each piece between their `${}`. */
  strings: StringToken[];
  /** Neighbouring `//` lines are one comment. */
  comments: CommentToken[];
}

const regexBefore =
  /(?:^|[=(,:[!&|?{;+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|void|yield|await|throw))\s*$/;
const codeBeforeSlashMax = 40;

/** Takes a source apart. What it can't tell apart (a regular expression after a closing bracket) counts as code. */
export function scan(text: string): Scanned {
  const code = text.split("");
  const strings: StringToken[] = [];
  const comments: CommentToken[] = [];
  /** For each template that is open around us: how deep its `${` is in braces. */
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  /** The end of the last comment, while it is a `//` line. */
  let lineEnd: number | undefined;

  const blank = (start: number, end: number) => {
    for (let index = start; index < end; index++) if (code[index] !== "\n") code[index] = " ";
  };
  /** From the first character of a piece of a template to its end; leaves `at` behind it. */
  const templatePiece = (start: number) => {
    let end = start;
    while (end < text.length && text[end] !== "`" && !text.startsWith("${", end))
      end += text[end] === "\\" ? 2 : 1;
    strings.push({ start: start - 1, end: end + 1, value: text.slice(start, end) });
    blank(start, end);
    if (text[end] === "`") at = end + 1;
    else {
      templates.push(depth);
      at = end + 2;
      depth++;
    }
  };

  while (at < text.length) {
    const char = text[at];
    if (text.startsWith("//", at)) {
      const end = endOf(text, "\n", at);
      const line = text.slice(at + 2, end).trim();
      const previous = comments.at(-1);
      if (previous !== undefined && lineEnd !== undefined && /^\n[ \t]*$/.test(text.slice(lineEnd, at)))
        previous.text += `\n${line}`;
      else comments.push({ start: at, text: line });
      lineEnd = end;
      blank(at, end);
      at = end;
    } else if (text.startsWith("/*", at)) {
      const end = Math.min(endOf(text, "*/", at + 2) + 2, text.length);
      comments.push({ start: at, text: blockText(text.slice(at, end)) });
      lineEnd = undefined;
      blank(at, end);
      at = end;
    } else if (char === '"' || char === "'") {
      const end = closing(text, char, at + 1);
      strings.push({ start: at, end: end + 1, value: text.slice(at + 1, end) });
      blank(at + 1, end);
      at = end + 1;
    } else if (char === "`") templatePiece(at + 1);
    else if (
      char === "/" &&
      regexBefore.test(code.slice(Math.max(0, at - codeBeforeSlashMax), at).join(""))
    ) {
      const end = closingOfRegex(text, at + 1);
      blank(at + 1, end);
      at = end + 1;
    } else {
      if (char === "{") depth++;
      if (char === "}") {
        depth--;
        if (templates.at(-1) === depth) {
          templates.pop();
          templatePiece(at + 1);
          continue;
        }
      }
      at++;
    }
  }
  return { code: code.join(""), strings, comments };
}

function blockText(block: string): string {
  return block
    .replace(/^\/\*+|\*\/$/g, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\*(?!\*)/, "").trim())
    .join("\n")
    .trim();
}

function endOf(text: string, what: string, from: number): number {
  const found = text.indexOf(what, from);
  return found === -1 ? text.length : found;
}

function closing(text: string, quote: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== quote && text[at] !== "\n") at += text[at] === "\\" ? 2 : 1;
  return Math.min(at, text.length);
}

function closingOfRegex(text: string, from: number): number {
  let inClass = false;
  let at = from;
  while (at < text.length && text[at] !== "\n" && (inClass || text[at] !== "/")) {
    if (text[at] === "[") inClass = true;
    if (text[at] === "]") inClass = false;
    at += text[at] === "\\" ? 2 : 1;
  }
  return Math.min(at, text.length);
}
