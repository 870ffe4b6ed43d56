import assert from "node:assert/strict";
import { test } from "node:test";
import { FillMarks } from "./fill-marks.ts";

function marked(callQueueMax: number): { marks: FillMarks; told: boolean[] } {
  const marks = new FillMarks(callQueueMax);
  const told: boolean[] = [];
  marks.onChange((isFull) => told.push(isFull));
  return { marks, told };
}

test("FillMarks tells once that the high mark is reached, and once that the low mark is", () => {
  const { marks, told } = marked(1_024);
  marks.grown(31, 1_000);
  assert.deepEqual(told, []);
  marks.grown(32, 1_000);
  marks.grown(33, 1_100);
  assert.ok(marks.isFull);
  for (let waiting = 33; waiting > 8; waiting--) marks.shrunk(waiting);
  assert.deepEqual(told, [true]);
  marks.shrunk(8);
  marks.shrunk(0);
  assert.deepEqual(told, [true, false]);
  marks.grown(32, 1_000);
  assert.deepEqual(told, [true, false, true]);
});

test("FillMarks lets a queue fill whose calls do not wait long, up to its half", () => {
  const { marks, told } = marked(1_024);
  marks.grown(511, 999);
  assert.deepEqual(told, []);
  marks.grown(512, 0);
  assert.deepEqual(told, [true]);
});

test("FillMarks has marks that lie apart in every queue", () => {
  for (const [callQueueMax, high, low] of [
    [1, 1, 0],
    [2, 1, 0],
    [16, 8, 2],
    [64, 32, 8],
    [1_000_000, 32, 8],
  ] as const) {
    const { marks, told } = marked(callQueueMax);
    marks.grown(high - 1, 1_000);
    assert.deepEqual(told, [], `${callQueueMax}`);
    marks.grown(high, 1_000);
    marks.shrunk(low + 1);
    assert.deepEqual(told, [true], `${callQueueMax}`);
    marks.shrunk(low);
    assert.deepEqual(told, [true, false], `${callQueueMax}`);
  }
});
