import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { formatTime } from "./time-format.ts";

const usual = process.env["TZ"];
afterEach(() => {
  if (usual === undefined) delete process.env["TZ"];
  else process.env["TZ"] = usual;
});

test("formatTime writes Go's formats, in the local zone", () => {
  process.env["TZ"] = "UTC";
  const date = new Date("2026-02-03T04:05:06Z");
  assert.equal(formatTime(date), "2026-02-03 04:05:06");
  assert.equal(formatTime(date, "DateOnly"), "2026-02-03");
  assert.equal(formatTime(date, "Stamp"), "Feb  3 04:05:06");
  assert.equal(formatTime(date, "RFC822"), "03 Feb 26 04:05 UTC");
  assert.equal(formatTime(date, "RFC3339"), "2026-02-03T04:05:06Z");
});

test("formatTime gives RFC 3339 its offset, east and west", () => {
  const date = new Date("2026-02-03T04:05:06Z");
  process.env["TZ"] = "Asia/Kolkata";
  assert.equal(formatTime(date, "RFC3339"), "2026-02-03T09:35:06+05:30");
  process.env["TZ"] = "America/St_Johns";
  assert.equal(formatTime(date, "RFC3339"), "2026-02-03T00:35:06-03:30");
});
