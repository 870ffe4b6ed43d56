import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLanguage } from "./language.ts";
import { sentenceWordsMax } from "./rules.ts";
import { short, treeOf } from "./test-tree.ts";

const findings = (path: string, text: string) => short(checkLanguage(treeOf({ [path]: text })));

test("checkLanguage refuses a comment that begins with one of the listed words", () => {
  for (const start of ["What", "Of", "Those", "So many", "So often", "So long"]) {
    for (const comment of [`// ${start} x.`, `/** ${start} x. */`, `/**\n * ${start}\n * x.\n */`]) {
      assert.deepEqual(findings("packages/node/src/a.ts", `const a = 1;\n${comment}\n`), [
        `packages/node/src/a.ts:2 a comment begins with "${start}"; begin with the subject`,
      ]);
    }
  }
  assert.equal(findings("tools/bootstrap.mjs", "// What it does.").length, 1);
});

test("checkLanguage passes questions, words inside a comment, and lines that go on", () => {
  for (const comment of [
    "// What is left?",
    "// Often it is.",
    "// Somewhat\n// What goes on on a second line",
    'const a = "// What";',
    "// So a call ends.",
  ]) {
    assert.deepEqual(findings("packages/node/src/a.ts", comment), [], comment);
  }
});

test("checkLanguage takes neighbouring comments of the two kinds, and those apart, for several", () => {
  const text = "// One.\n/* What. */\n// Of two.\n\n// So long.\nconst a = 1; // Those.\n";
  assert.deepEqual(
    findings("a.ts", text).map((finding) => finding.split(" ")[0]),
    ["a.ts:2", "a.ts:3", "a.ts:5", "a.ts:6"],
  );
});

test("checkLanguage refuses listed words in text, names of code and names of files", () => {
  assert.deepEqual(findings("docs/a.md", "The\nformer node"), ['docs/a.md:2 "former": say previous']);
  for (const text of ["endOfFate()", "deeds", "fateOf", "the how-manieth", "#formerTmp", '"deed"']) {
    assert.equal(findings("test/a.ts", text).length, 1, text);
  }
  assert.deepEqual(findings("test/deeds-a.ts", ""), [
    'test/deeds-a.ts the name of the file: "deeds": say action',
  ]);
});

test("checkLanguage passes longer words and recorded fixtures", () => {
  assert.deepEqual(findings("docs/a.md", "an indeed performer, formerly transformer, fateful"), []);
  assert.deepEqual(findings("test/fixtures/a.ts", "// What the former did."), []);
});

test("checkLanguage refuses lack as a noun and as a name, and passes the verb", () => {
  for (const text of [
    "const lack = 1;",
    "lackOf()",
    "hostileLack()",
    "// for lack of memory",
    '"the lack of a"',
  ]) {
    assert.equal(findings("test/a.ts", text).length, 1, text);
  }
  for (const text of ["// Nodes that lack it.", "lacksNeed()", '"2 lack the tag"', "// a node lacks it"]) {
    assert.deepEqual(findings("test/a.ts", text), [], text);
  }
  assert.equal(findings("docs/a.md", "There is a lack of it.").length, 1);
  assert.deepEqual(findings("docs/a.md", "The nodes lack it."), []);
});

test("checkLanguage refuses a phrase that a paragraph has twice", () => {
  const twice = "A file of its own, with a name\nof its own.";
  assert.match(
    findings("docs/a.md", `One.\n\n${twice}`).join(),
    /^docs\/a\.md:3 "of its own" stands 2 times/,
  );
  assert.equal(findings("a.ts", `/** ${twice.replace("\n", "\n * ")} */`).length, 1);
  assert.deepEqual(findings("docs/a.md", "A file of its own.\n\nA name of its own."), []);
});

test("checkLanguage refuses the same starts in any sentence of a document, but for questions and headings", () => {
  assert.deepEqual(findings("docs/a.md", "# What\n\nFine. What is\nleft goes. **Of these.** What is it?"), [
    'docs/a.md:3 a sentence begins with "What"; begin with the subject',
    'docs/a.md:3 a sentence begins with "Of"; begin with the subject',
  ]);
  assert.equal(findings("docs/a.md", "| a | What waits |").length, 1);
  assert.deepEqual(findings("docs/a.md", "<!-- What follows is generated -->\n```\nWhat\n```"), []);
});

test("checkLanguage refuses a long sentence in a document, also in a list and a table", () => {
  const words = (count: number) => Array.from({ length: count }, () => "word").join(" ");
  const long = `${words(sentenceWordsMax + 1)}.`;
  for (const text of [long, `- ${long}`, `| a | ${long} |`, `Short one. The ${words(sentenceWordsMax)}.`]) {
    assert.match(
      findings("docs/a.md", text).join(),
      /^docs\/a\.md:1 a sentence has 41 words, and 40 is the most: "\S/,
      text,
    );
  }
  const half = words(sentenceWordsMax / 2);
  for (const text of [
    `${words(sentenceWordsMax)}.`,
    `The ${half}. The ${half}.`,
    `${half}\n- ${half}\n- ${half}`,
    `\`\`\`\n${long}\n\`\`\``,
    `a \`${long}\` b`,
  ]) {
    assert.deepEqual(findings("docs/a.md", text), [], text);
  }
  assert.deepEqual(findings("a.ts", `// ${long}`), []);
});
