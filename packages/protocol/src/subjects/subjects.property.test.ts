import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isNamespace, isWorkloadName, printable, workloadNameOfFile } from "./names.ts";
import { isSubscribableSubject, subjectsOverlap } from "./subject-match.ts";
import {
  deploySubject,
  eventSubject,
  infoSubject,
  logSubject,
  parseEventSubject,
  parseLogSubject,
  parseNodeRequestSubject,
  parseWorkloadPingSubject,
  stopSubject,
  workloadPingSubject,
} from "./subjects.ts";

const letters = [..."abcXYZ019_-$é"];
const token = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 12 });
const workloadName = fc.string({ unit: fc.constantFrom(..."abcXYZ019_-"), minLength: 1, maxLength: 19 });
const namespace = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter(isNamespace);
const nodeId = fc.string({ unit: fc.constantFrom(..."ABCXYZ234567"), minLength: 56, maxLength: 56 });
const workloadId = fc.string({ unit: fc.constantFrom(..."0123456789abcuv"), minLength: 20, maxLength: 20 });

test("every parser of a subject reverses its builder, for any namespace and name", () => {
  fc.assert(
    fc.property(namespace, nodeId, workloadName, workloadId, (space, node, name, id) => {
      for (const build of [infoSubject, deploySubject, stopSubject])
        assert.deepEqual(parseNodeRequestSubject(build(space, node)), { namespace: space, nodeId: node });
      assert.deepEqual(parseWorkloadPingSubject(workloadPingSubject(space, name)), {
        namespace: space,
        idOrName: name,
      });
      assert.deepEqual(parseEventSubject(eventSubject(space, name)), { namespace: space, type: name });
      const address = { namespace: space, nodeId: node, workloadName: name, workloadId: id };
      assert.deepEqual(parseLogSubject(logSubject(address)), address);
      assert.ok(isSubscribableSubject(logSubject(address)));
    }),
  );
});

test("isNamespace accepts only names that are one token of a subject", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 80 }), (name) => {
      if (isNamespace(name)) assert.ok(isSubscribableSubject(`a.${name}.b`), JSON.stringify(name));
    }),
  );
});

test("workloadNameOfFile gives a workload name for any path", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (path) => {
      assert.ok(isWorkloadName(workloadNameOfFile(path)), JSON.stringify(path));
    }),
  );
});

test("printable leaves no control character, and no more characters than allowed", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 1, max: 60 }), (text, max) => {
      const shown = printable(text, max);
      assert.doesNotMatch(shown, /[\p{Cc}\u2028\u2029]/u);
      assert.ok(shown.length <= max + 1);
    }),
  );
});

/** A concrete subject, and two patterns that match it. */
const matched = fc
  .array(fc.tuple(token, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 6 })
  .chain((parts) => {
    const tail = fc.option(fc.nat(parts.length - 1), { nil: undefined });
    return fc.tuple(fc.constant(parts), tail, tail);
  })
  .map(([parts, tailA, tailB]) => {
    const pattern = (wild: 1 | 2, tail: number | undefined): string => {
      const tokens = parts.map((part) => (part[wild] ? "*" : part[0]));
      return (tail === undefined ? tokens : [...tokens.slice(0, tail), ">"]).join(".");
    };
    return { subject: parts.map(([name]) => name).join("."), a: pattern(1, tailA), b: pattern(2, tailB) };
  });

test("subjectsOverlap finds any two patterns that match the same subject, in both directions", () => {
  fc.assert(
    fc.property(matched, ({ subject, a, b }) => {
      for (const pattern of [a, b]) assert.ok(isSubscribableSubject(pattern), pattern);
      for (const [x, y] of [
        [a, b],
        [b, a],
        [subject, a],
        [b, subject],
        [a, a],
      ] as const) {
        assert.ok(subjectsOverlap(x, y), `${x} and ${y}`);
      }
    }),
  );
});

test("subjectsOverlap keeps subjects apart that differ in a token or in their length", () => {
  fc.assert(
    fc.property(fc.array(token, { minLength: 1, maxLength: 5 }), fc.nat(), token, (tokens, at, other) => {
      const subject = tokens.join(".");
      const place = at % tokens.length;
      const changed = tokens.with(place, `${tokens[place]}${other}`).join(".");
      assert.ok(!subjectsOverlap(subject, changed));
      assert.ok(!subjectsOverlap(subject, `${subject}.${other}`));
      assert.ok(!subjectsOverlap(`${subject}.>`, subject), "a tail needs a token");
    }),
  );
});
