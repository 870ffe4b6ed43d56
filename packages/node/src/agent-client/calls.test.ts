import assert from "node:assert/strict";
import { test } from "node:test";
import { callWindowMax } from "@nexengine/protocol/agent";
import { AgentCall, AgentCalls, callSlotsMax } from "./calls.ts";

class TestCall extends AgentCall {
  readonly bytes = Buffer.alloc(0);
  readonly subjectStart = 0;
  readonly subjectEnd = 0;
  readonly triggerPlace = 0;
  readonly deliveryStart = 0;
  readonly deliveryEnd = 0;
  readonly headersStart = 0;
  readonly payloadStart = 0;
  readonly payloadEnd = 0;
  replied(): void {}
  failed(): void {}
}

/** An agent that was given so many calls, one each millisecond from 1 on. */
function given(count: number): { calls: AgentCalls; list: TestCall[] } {
  const calls = new AgentCalls();
  const list = Array.from({ length: count }, () => new TestCall());
  for (const [at, call] of list.entries()) assert.ok(calls.add(call, at + 1));
  return { calls, list };
}

const runningOf = (calls: AgentCalls, list: readonly AgentCall[], concurrency: number): [number, number][] =>
  calls.running(concurrency).map(({ call, sinceMs }) => [list.indexOf(call), sinceMs]);

test("AgentCalls keeps the order in which calls were given, whichever is taken out", () => {
  const { calls, list } = given(5);
  for (const at of [2, 0, 4]) assert.equal(calls.take((list[at] as TestCall).id), list[at]);
  assert.equal(calls.size, 2);
  assert.deepEqual(calls.drain(), [list[1], list[3]]);
  assert.equal(calls.size, 0);
  assert.equal(calls.oldest, undefined);
});

test("AgentCalls does not know an id any more when its call is out, also when the slot is used again", () => {
  const { calls, list } = given(1);
  const { id } = list[0] as TestCall;
  assert.equal(calls.answer(id, 5), list[0]);
  assert.equal(calls.answer(id, 5), undefined);
  const next = new TestCall();
  calls.add(next, 6);
  assert.notEqual(next.id, id);
  assert.equal(calls.take(id), undefined);
  for (const other of [0, 1, 0xffff_ffff, next.id ^ 0x8000_0000])
    assert.equal(calls.take(other >>> 0), undefined);
});

test("AgentCalls has a bounded number of slots", () => {
  const { calls } = given(callSlotsMax);
  assert.equal(calls.add(new TestCall(), 1), false);
  calls.take(calls.oldest?.id ?? -1);
  assert.equal(calls.add(new TestCall(), 1), true);
});

test("the first call counts as running without a word, as long as the agent may run one more", () => {
  const { calls, list } = given(3);
  assert.deepEqual(runningOf(calls, list, 1), [[0, 1]]);
  calls.began(1, 10);
  assert.deepEqual(runningOf(calls, list, 1), [[0, 10]]);
  assert.deepEqual(runningOf(calls, list, 2), [
    [0, 10],
    [1, 10],
  ]);
});

test("the next call counts as running since the answer to the one before", () => {
  const { calls, list } = given(3);
  calls.answer((list[0] as TestCall).id, 20);
  assert.deepEqual(runningOf(calls, list, 1), [[1, 20]]);
});

test("calls that were named count as running, and the next one while it may", () => {
  const { calls, list } = given(4);
  calls.began(2, 10);
  assert.deepEqual(runningOf(calls, list, 2), [
    [0, 10],
    [1, 10],
  ]);
  calls.began(1, 12);
  assert.deepEqual(runningOf(calls, list, 3), [
    [0, 10],
    [1, 10],
    [2, 10],
  ]);
});

test("as many calls count as running without a word as the agent has said, within bounds", () => {
  const { calls, list } = given(100);
  const places = (): number[] => runningOf(calls, list, 1).map(([at]) => at);
  calls.setWindow(3);
  assert.deepEqual(places(), [0, 1, 2]);
  calls.answer((list[0] as TestCall).id, 20);
  assert.deepEqual(places(), [1, 2, 3]);
  calls.began(2, 21);
  assert.deepEqual(places(), [1], "it runs as many as it may");
  calls.answer((list[1] as TestCall).id, 22);
  for (const [said, held] of [
    [0, 1],
    [1_000_000, callWindowMax],
  ] as const) {
    calls.setWindow(said);
    assert.equal(places().length, held);
  }
});

test("a call that was given up lets no other count as running instead", () => {
  const { calls, list } = given(3);
  calls.take((list[0] as TestCall).id);
  assert.deepEqual(runningOf(calls, list, 1), []);
  calls.began(1, 10);
  assert.deepEqual(runningOf(calls, list, 1), [[1, 10]]);
});

test("an agent can't have begun what it was not given", () => {
  const { calls, list } = given(2);
  for (const sequence of [3, 1000, 0x7fff_ffff]) calls.began(sequence, 10);
  assert.deepEqual(runningOf(calls, list, 1), [[0, 1]]);
});
