import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, recorded } from "../fixtures/recorded.ts";
import { parseEventSubject, parseLogSubject } from "../subjects/subjects.ts";
import {
  baseLevel,
  decodeEvent,
  decodeLogLine,
  encodeEvent,
  encodeLogLine,
  eventTypes,
  logLevels,
} from "./feeds.ts";

test("decodeEvent reads every recorded event; its type is known and matches its subject", () => {
  for (const { subject, request } of recorded("$NEX.events")) {
    const event = decodeEvent(bytesOf(request));
    const at = parseEventSubject(subject);
    assert.ok(event !== undefined, subject);
    assert.equal(event.type, at?.type);
    assert.ok(
      eventTypes.some((type) => type === event.type),
      event.type,
    );
    assert.equal(event.specversion, "1.0");
    assert.notDeepEqual(event.data, {});
  }
});

test("decodeEvent reverses encodeEvent, which writes CloudEvents 1.0", () => {
  const facts = {
    id: "1baef1de-32dd-415c-9744-a31c2f031a1b",
    type: "workload_deployed",
    source: "N-w",
    timeMs: Date.UTC(2026, 10, 24, 2, 7, 20, 264),
    data: { workload_name: "echo", code: 0 },
  } as const;
  const wire = {
    data: { workload_name: "echo", code: 0 },
    datacontenttype: "application/json",
    id: facts.id,
    source: "N-w",
    specversion: "1.0",
    time: "2026-11-24T02:07:20.264Z",
    type: "workload_deployed",
  };
  assert.deepEqual(decodeEvent(encodeEvent(facts)), wire);
  assert.deepEqual(decodeEvent(encodeEvent({ ...facts, namespace: "a" })), { ...wire, namespace: "a" });
});

test("decodeEvent ignores bytes that are not an event", () => {
  const bad = [
    "",
    "{",
    "null",
    "5",
    "[]",
    '"x"',
    "{}",
    '{"type":"x"}',
    '{"specversion":"1.0"}',
    '{"specversion":1,"type":"x"}',
  ];
  for (const text of bad) assert.equal(decodeEvent(Buffer.from(text)), undefined, text);
});

test("decodeEvent keeps an event of a new type or with unknown data", () => {
  const event = decodeEvent(bytesOf({ specversion: "1.0", type: "brand_new", data: "text" }));
  assert.deepEqual(event, { specversion: "1.0", type: "brand_new", data: undefined });
});

test("decodeLogLine reads every recorded line; its workload matches its subject", () => {
  for (const { subject, request } of recorded("$NEX.logs")) {
    const line = decodeLogLine(bytesOf(request));
    assert.ok(line !== undefined, subject);
    assert.notEqual(line.text, "");
    const at = parseLogSubject(subject);
    assert.equal(at?.workloadId, line.id);
    assert.doesNotMatch(at?.workloadName ?? "", /^[0-9a-v]{20}$/);
  }
});

test("decodeLogLine reverses encodeLogLine", () => {
  const line = { text: "Hello\n☃", level: "WARN", id: "dc2f2m1ksdudki293gng" } as const;
  assert.deepEqual(decodeLogLine(encodeLogLine(line)), line);
});

test("decodeLogLine defaults a missing level to INFO, and ignores bytes that are not a line", () => {
  assert.deepEqual(decodeLogLine(bytesOf({ text: "a" })), { text: "a", level: "INFO" });
  for (const text of ["", "plain text", "null", "{}", '{"text":5}', '{"text":"a","level":4}']) {
    assert.equal(decodeLogLine(Buffer.from(text)), undefined, text);
  }
});

test("baseLevel drops Go's offset and reads an unknown level as INFO", () => {
  for (const level of logLevels) assert.equal(baseLevel(level), level);
  const cases: [string, string][] = [
    ["INFO+2", "INFO"],
    ["WARN+1", "WARN"],
    ["DEBUG-4", "DEBUG"],
    ["error", "ERROR"],
    ["", "INFO"],
    ["TRACE", "INFO"],
  ];
  for (const [level, base] of cases) assert.equal(baseLevel(level), base, level);
});
