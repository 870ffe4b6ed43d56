import assert from "node:assert/strict";
import { test } from "node:test";
import { scan } from "./scan.ts";

const values = (text: string) => scan(text).strings.map(({ value }) => value);

test("scan finds strings of each kind, and none in comments", () => {
  const text = `const a = "one"; // "no"\nconst b = 'two'; /* 'no' */ const c = \`three\`;`;
  assert.deepEqual(values(text), ["one", "two", "three"]);
});

test("scan keeps every offset and line, and blanks what isn't code", () => {
  const text = 'a("x\\"y"); // words\n/* more\nwords */ b();';
  const { code } = scan(text);
  assert.equal(code.length, text.length);
  assert.equal(code, 'a("    ");         \n       \n         b();');
});

test("scan reads templates with code, strings and templates inside", () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the template stands in the source that is checked
  const text = "const a = `one ${f({ b: `two ${'three'}` })} four`; const c = 'five';";
  assert.deepEqual(values(text).sort(), ["", " four", "five", "one ", "three", "two "]);
  assert.match(scan(text).code, /\$\{f\(\{ b: `/);
});

test("scan tells regular expressions from divisions", () => {
  assert.deepEqual(values("const a = /[/\"]/.test(b); const c = 'one';"), ["one"]);
  assert.deepEqual(values("const a = b / c; const d = 'one' / e;"), ["one"]);
  assert.deepEqual(values("return /'/g;\nconst a = 'one';"), ["one"]);
});

test("scan comes to an end on a text that is cut short", () => {
  for (const text of ['"abc', "`abc ${", "/* abc", "a = /abc", "'abc\\"])
    assert.ok(scan(text).code.length > 0);
});

test("scan gives the text of comments without their marks, and neighbouring lines as one", () => {
  const text = "/** One\n * two.\n */\nconst a = 1; // three\n// four\n\n  /* five */ // six";
  assert.deepEqual(scan(text).comments, [
    { start: 0, text: "One\ntwo." },
    { start: text.indexOf("// three"), text: "three\nfour" },
    { start: text.indexOf("/* five"), text: "five" },
    { start: text.indexOf("// six"), text: "six" },
  ]);
});
