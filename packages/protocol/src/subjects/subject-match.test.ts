import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../fixtures/random.ts";
import {
  alwaysDeniedTrigger,
  deniedTriggerSubjects,
  isSubscribableSubject,
  overlapping,
  subjectBytesMax,
  subjectsOverlap,
} from "./subject-match.ts";

/** Whether a pattern matches a concrete subject: NATS's rule, implemented independently of the code under test. */
function matches(pattern: string[], subject: string[]): boolean {
  const [token, ...rest] = pattern;
  if (token === undefined) return subject.length === 0;
  if (token === ">") return subject.length > 0;
  const [head, ...tail] = subject;
  return head !== undefined && (token === "*" || token === head) && matches(rest, tail);
}

/** All concrete subjects of one to `tokensMax` tokens. */
function allSubjects(letters: string[], tokensMax: number): string[][] {
  let longest: string[][] = [[]];
  const all: string[][] = [];
  for (let tokens = 1; tokens <= tokensMax; tokens++) {
    longest = longest.flatMap((head) => letters.map((letter) => [...head, letter]));
    all.push(...longest);
  }
  return all;
}

test("subjectsOverlap agrees with matching every concrete subject", () => {
  // One letter and one token more than the patterns have, so that only wildcards match them.
  const concrete = allSubjects(["a", "b", "c"], 5);
  const random = seededRandom(3);
  const pattern = (): string[] => {
    const tokens = Array.from({ length: 1 + random.below(4) }, () => random.of(["a", "b", "*"]));
    if (random.below(4) === 0) tokens[tokens.length - 1] = ">";
    return tokens;
  };
  let overlaps = 0;
  for (let round = 0; round < 2000; round++) {
    const left = pattern();
    const right = pattern();
    const expected = concrete.some((subject) => matches(left, subject) && matches(right, subject));
    if (expected) overlaps++;
    const [a, b] = [left.join("."), right.join(".")];
    assert.equal(subjectsOverlap(a, b), expected, `${a} and ${b}`);
    assert.equal(subjectsOverlap(b, a), expected, `${b} and ${a}`);
  }
  assert.ok(overlaps > 200 && overlaps < 1800, `${overlaps} of 2000 pairs overlap`);
});

test("isSubscribableSubject accepts tokens and whole-token wildcards", () => {
  for (const subject of ["a", "a.b.c", "*", ">", "a.*.c", "a.*.>", "$SYS.x", "ü.☃", "a-b_c/d"]) {
    assert.ok(isSubscribableSubject(subject), subject);
  }
});

test("isSubscribableSubject refuses empty tokens, white space and wildcards inside tokens", () => {
  const bad = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    "a\tb",
    "a\r\nb",
    "a\0b",
    "a\u00a0b",
    "a*",
    "*a.b",
    "a>",
    ">.a",
    "a.>.b",
  ];
  for (const subject of bad) assert.ok(!isSubscribableSubject(subject), JSON.stringify(subject));
});

test("isSubscribableSubject accepts a subject of the maximum size in bytes, and refuses a longer one", () => {
  assert.ok(isSubscribableSubject("a".repeat(subjectBytesMax)));
  assert.ok(!isSubscribableSubject("a".repeat(subjectBytesMax + 1)));
  assert.ok(!isSubscribableSubject("ü".repeat(subjectBytesMax / 2 + 1)));
});

test("alwaysDeniedTrigger denies subjects that start with $, reach an inbox, or match everything", () => {
  const denied: [string, string][] = [
    ["$JS.API.INFO", "$JS.>"],
    ["$anything", "$anything.>"],
    ["_INBOX.abc", "_INBOX.>"],
    ["_INBOX.*", "_INBOX.>"],
    ["_INBOX.>", "_INBOX.>"],
    ["*.abc", "_INBOX.>"],
    [">", "_INBOX.>"],
    ["*", "$*.>"],
  ];
  for (const [subject, pattern] of denied) assert.equal(alwaysDeniedTrigger(subject), pattern, subject);
});

test("alwaysDeniedTrigger denies the node's own inbox prefixes", () => {
  assert.equal(alwaysDeniedTrigger("my.inbox.x", ["my.inbox"]), "my.inbox.>");
  assert.equal(alwaysDeniedTrigger("my.*.x", ["my.inbox"]), "my.inbox.>");
  assert.equal(alwaysDeniedTrigger("my.inbox.x"), undefined);
});

test("alwaysDeniedTrigger allows other subjects", () => {
  for (const subject of ["a", "a.>", "a.*", "a.$JS", "_INBOX", "_INBOXES.a", "default.echo"]) {
    assert.equal(alwaysDeniedTrigger(subject, ["my.inbox"]), undefined, subject);
  }
});

test("overlapping returns the entries of a deny list that a subject overlaps, in order", () => {
  assert.deepEqual(overlapping("$JS.foo", deniedTriggerSubjects), ["$JS.>"]);
  assert.deepEqual(overlapping(">", deniedTriggerSubjects), ["$SYS.>", "$JS.>", "$NEX.>"]);
  assert.deepEqual(overlapping("*.>", deniedTriggerSubjects), ["$SYS.>", "$JS.>", "$NEX.>"]);
  assert.deepEqual(overlapping("js.foo", deniedTriggerSubjects), []);
});
