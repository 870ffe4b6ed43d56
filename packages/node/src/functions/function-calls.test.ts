import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { CallError, FrameConnection, FrameType, readInvocation } from "@nexengine/protocol/agent";
import { AgentClient } from "../agent-client/agent-client.ts";
import { Budget } from "../budget/budget.ts";
import type { Machine } from "../machines/machine.ts";
import { Call, type CallTrigger, FunctionCalls } from "./function-calls.ts";

const budget = new Budget({ bootsMax: 1, unsentBytesMax: 1 });

/** A machine whose agent keeps the calls that it gets until the test answers them. */
class HeldMachine {
  readonly taken: number[] = [];
  /** Place of the trigger and delivery of each call. */
  readonly told: (string | number)[][] = [];
  readonly #agent: FrameConnection;
  readonly machine: Machine;

  constructor() {
    const [ours, theirs] = duplexPair();
    const events = { log: () => undefined, exited: () => undefined, ended: () => undefined };
    this.machine = { agent: new AgentClient(ours, events, budget.ofMachine()) } as unknown as Machine;
    this.#agent = new FrameConnection(theirs, {
      frame: (type, flags, id, payload) => {
        if (type !== FrameType.invoke) return;
        this.taken.push(id);
        const view = readInvocation(flags, payload, 0, payload.length);
        this.told.push([view.triggerPlace, payload.toString("utf8", view.deliveryStart, view.deliveryEnd)]);
      },
      end: () => undefined,
    });
  }

  /** Answers the first call that it has. */
  answer(): void {
    const id = this.taken.shift();
    assert.ok(id !== undefined);
    this.#agent.send(FrameType.result, 0, id, Buffer.alloc(4));
    this.#agent.flush();
  }
}

/** Outcomes of calls: "ok", or the code of the failure. */
function bench(options: Partial<ConstructorParameters<typeof FunctionCalls>[0]> = {}) {
  const outcomes: (string | number)[] = [];
  const trigger: CallTrigger = {
    index: -1,
    replied: () => outcomes.push("ok"),
    failed: (_, { code }) => outcomes.push(code),
  };
  const calls = new FunctionCalls({
    callTimeMs: 60_000,
    callQueueTimeMs: 60_000,
    callQueueMax: 4,
    deadlineGraceMs: 20,
    held: budget.heldBytes.share(),
    abandon: () => undefined,
    ...options,
  });
  const send = (count = 1, payloadBytes = 1): void => {
    for (let at = 0; at < count; at++) {
      const bytes = Buffer.concat([Buffer.from("f"), Buffer.alloc(payloadBytes)]);
      const reply = { replyStart: 1, replyEnd: 1 };
      const content = { headersStart: 1, payloadStart: 1, payloadEnd: bytes.length };
      calls.accept(new Call(trigger, { bytes, subjectStart: 0, subjectEnd: 1, ...reply, ...content }));
    }
  };
  return { calls, outcomes, send };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

test("FunctionCalls that close finish waiting calls too, and fail what is left after the time", async () => {
  const finishing = bench();
  const held = new HeldMachine();
  finishing.send(2);
  const closing = finishing.calls.close(60_000);
  finishing.send();
  assert.deepEqual(finishing.outcomes, [CallError.stopped]);
  finishing.calls.addMachine(held.machine, 8);
  await until(() => held.taken.length === 2);
  held.answer();
  held.answer();
  assert.equal(await closing, true);
  assert.deepEqual(finishing.outcomes, [CallError.stopped, "ok", "ok"]);
  const late = bench();
  late.send(2);
  assert.equal(await late.calls.close(1), false);
  assert.deepEqual(late.outcomes, [CallError.stopped, CallError.stopped]);
});

test("FunctionCalls queues calls while there is no machine, and refuses those beyond the queue", async () => {
  const { calls, outcomes, send } = bench();
  send(6);
  assert.deepEqual(outcomes, [CallError.overloaded, CallError.overloaded]);
  assert.equal(calls.size, 4);
  const held = new HeldMachine();
  calls.addMachine(held.machine, 8);
  await until(() => held.taken.length === 4);
  await calls.close(0);
  assert.deepEqual(outcomes.slice(2), Array(4).fill(CallError.stopped));
});

test("Call gives the agent its trigger and the ack subject, also after a wait, and no reply subject of a caller", async () => {
  const { calls } = bench();
  const send = (index: number, replySubject: string): void => {
    const trigger: CallTrigger = { index, replied: () => undefined, failed: () => undefined };
    const text = Buffer.from(`subject ${replySubject} payload`);
    // Large enough that a waiting call is copied out of it.
    const bytes = Buffer.alloc(65_536);
    const start = 1_000;
    text.copy(bytes, start);
    const replyStart = start + 8;
    const replyEnd = replyStart + replySubject.length;
    const content = {
      ...{ headersStart: replyEnd + 1, payloadStart: replyEnd + 1, payloadEnd: start + text.length },
    };
    const subject = { subjectStart: start, subjectEnd: start + 7 };
    calls.accept(new Call(trigger, { bytes, ...subject, replyStart, replyEnd, ...content }));
  };
  const sendAll = (): void => {
    send(6, "$JS.ACK.S.C.1.2.3.4.5");
    send(6, "_INBOX.abc");
    send(6, `$${"x".repeat(1024)}`);
    send(-1, "$JS.ACK.S.C.1.2.3.4.5");
  };
  const expected = [
    [7, "$JS.ACK.S.C.1.2.3.4.5"],
    [7, ""],
    [7, ""],
    [0, ""],
  ];
  sendAll();
  const held = new HeldMachine();
  calls.addMachine(held.machine, 8);
  await until(() => held.taken.length === 4);
  sendAll();
  await until(() => held.taken.length === 8);
  assert.deepEqual(held.told, [...expected, ...expected]);
  await calls.close(0);
});

test("FunctionCalls says how much room there is, and calls back when there is some", async () => {
  const { calls, send } = bench({ callQueueMax: 10_000 });
  assert.equal(calls.room, 0);
  let told = 0;
  calls.whenRoom(() => told++);
  await new Promise(setImmediate);
  assert.equal(told, 0);
  const held = new HeldMachine();
  calls.addMachine(held.machine, 2);
  await until(() => told === 1);
  const { room } = calls;
  assert.ok(room > 2, `${room}`);
  send(room);
  assert.equal(calls.room, 0);
  send(3);
  calls.whenRoom(() => told++);
  // The machine takes further calls ahead of time, and starts those first.
  await until(() => held.taken.length === room + 3);
  assert.equal(told, 1);
  for (let answered = 0; answered < 3; answered++) held.answer();
  await until(() => calls.size === room);
  assert.equal(told, 1);
  held.answer();
  await until(() => told === 2);
  assert.ok(calls.room >= 1);
  await calls.close(0);
  assert.equal(calls.room, 0);
});

test("FunctionCalls gives calls that a lost machine has not started to another one, and fails the others", async () => {
  const { calls, outcomes, send } = bench();
  const [first, second] = [new HeldMachine(), new HeldMachine()];
  calls.addMachine(first.machine, 1);
  send(3);
  await until(() => first.taken.length === 3);
  calls.addMachine(second.machine, 1);
  calls.removeMachine(first.machine, "it died");
  await until(() => second.taken.length === 2);
  assert.deepEqual(outcomes, [CallError.stopped]);
  for (let at = 0; at < 2; at++) second.answer();
  await until(() => outcomes.length === 3);
  assert.deepEqual(outcomes.slice(1), ["ok", "ok"]);
  assert.equal(await calls.close(0), true);
});

test("FunctionCalls fails calls that wait longer than they may", async () => {
  const { calls, outcomes, send } = bench({ callQueueTimeMs: 1 });
  send(2);
  await until(() => outcomes.length === 2);
  assert.deepEqual(outcomes, [CallError.overloaded, CallError.overloaded]);
  await calls.close(0);
});

test("FunctionCalls ends a call over its limit, and asks to replace a machine that does not answer a ping", async () => {
  const abandoned: Machine[] = [];
  const { calls, outcomes, send } = bench({ callTimeMs: 1, abandon: (machine) => abandoned.push(machine) });
  const held = new HeldMachine();
  calls.addMachine(held.machine, 1);
  send(1);
  await until(() => abandoned.length === 1);
  assert.deepEqual([abandoned[0], outcomes], [held.machine, [CallError.timedOut]]);
  await calls.close(0);
});

test("FunctionCalls holds bytes of waiting calls within the budget, and gives them back", async () => {
  const held = budget.heldBytes.share();
  const { calls, outcomes, send } = bench({ held, callQueueMax: 100 });
  send(1, 1_000_000);
  assert.ok(held.used >= 1_000_000);
  send(1, 129 * 1_048_576);
  assert.deepEqual(outcomes, [CallError.overloaded]);
  await calls.close(0);
  assert.equal(held.used, 0);
});

test("FunctionCalls gives bytes back when a waiting call goes to a machine, and when it waits too long", async () => {
  const held = budget.heldBytes.share();
  const { calls, outcomes, send } = bench({ held, callQueueTimeMs: 20 });
  send(2, 1_000);
  assert.ok(held.used >= 2_000);
  await until(() => outcomes.length === 2);
  assert.equal(held.used, 0);
  send(2, 1_000);
  assert.ok(held.used >= 2_000);
  const machine = new HeldMachine();
  calls.addMachine(machine.machine, 8);
  assert.equal(held.used, 0);
  await calls.close(0);
});
