import assert from "node:assert/strict";
import { test } from "node:test";
import { messageView } from "@nexengine/protocol/agent";
import { type Call, CallQueue } from "./call-queue.ts";
import { inheritedCalls } from "./channels/call-channel.ts";
import { HostCalls } from "./host-calls.ts";
import type { ProviderHost } from "./provider.ts";

/** The node's end: what it was told, flush by flush. */
class Told implements ProviderHost {
  readonly hostCalls = new HostCalls(inheritedCalls);
  readonly flushes: string[][] = [];
  #now: string[] = [];

  get unsent(): boolean {
    return this.#now.length > 0;
  }
  flush(): void {
    if (this.unsent) this.flushes.push(this.#now);
    this.#now = [];
  }
  began(sequence: number): void {
    this.#now.push(`began ${sequence}`);
  }
  window(calls: number): void {
    this.#now.push(`window ${calls}`);
  }
  result(id: number): void {
    this.#now.push(`result ${id}`);
  }
  failure(id: number, { code }: { code: number }): void {
    this.#now.push(`failure ${id} ${code}`);
  }
  log(): boolean {
    return true;
  }
  async drained(): Promise<void> {}
  exited(): void {}
}

/** A queue whose calls are answered at once unless their payload says otherwise. */
class Bench {
  readonly told = new Told();
  readonly begun: number[] = [];
  readonly pending = new Map<number, Call>();
  readonly queue: CallQueue;
  #sequence = 0;

  constructor(concurrency: number) {
    this.queue = new CallQueue(this.told, concurrency, {
      run: (call) => {
        this.begun.push(call.id);
        const payload = Buffer.alloc(call.payloadBytes);
        call.copyPayload(payload);
        if (payload.toString() === "later") this.pending.set(call.id, call);
        else this.queue.reply(call, payload);
      },
    });
  }

  /** One batch: a call for each payload, with ids from 101 on. */
  batch(...payloads: string[]): void {
    for (const payload of payloads)
      this.queue.invoke(++this.#sequence + 100, this.#sequence, messageView("a.b", Buffer.from(payload)));
    this.queue.batchEnd();
  }

  finish(id: number): void {
    this.queue.reply(this.pending.get(id) as Call, Buffer.alloc(0));
  }
}

test("a call alone goes and comes with one write, and without a word that it has begun", () => {
  const bench = new Bench(1);
  bench.batch("now");
  bench.batch("now");
  assert.deepEqual(
    bench.told.flushes.map((words) => words.filter((word) => !word.startsWith("window"))),
    [["result 101"], ["result 102"]],
  );
});

test("a call that runs on is told of at the end of the batch", () => {
  const bench = new Bench(2);
  bench.batch("later");
  assert.deepEqual(bench.told.flushes, [["began 1"]]);
});

test("of a function that is not known yet, no call begins before the answer to the one before is out", () => {
  const bench = new Bench(1);
  bench.batch("now", "now");
  assert.equal(bench.told.flushes[0]?.[0], "result 101");
  assert.equal(bench.told.flushes[1]?.[0], "result 102");
});

test("no call begins that the node does not count in", () => {
  for (const concurrency of [1, 3]) {
    const bench = new Bench(concurrency);
    const { told, begun } = bench;
    let known = 0;
    let window = 1;
    let widest = 1;
    const flush = told.flush.bind(told);
    told.flush = () => {
      const before = told.flushes.length;
      flush();
      for (const word of told.flushes.slice(before).flat()) {
        const [what, number] = word.split(" ");
        if (what === "began") known = Math.max(known, Number(number));
        if (what === "result") known = Math.max(known, Number(number) - 100);
        if (what === "window") window = Number(number);
      }
      widest = Math.max(widest, window);
    };
    begun.push = (...ids: number[]) => {
      for (const id of ids)
        assert.ok(id - 100 <= known + window, `${id} began, known up to ${known} and ${window} more`);
      return Array.prototype.push.apply(begun, ids);
    };
    for (let batch = 0; batch < 20; batch++) {
      bench.batch(...Array.from({ length: 50 }, () => "now"));
      if (concurrency > 1 && batch === 10) bench.batch("later", "now", "later");
    }
    assert.equal(begun.length, concurrency > 1 ? 1_003 : 1_000);
    assert.ok(widest > 1, "a quick function's window grows");
  }
});

test("as many calls overlap as may, and the next begins when one has ended", async () => {
  const bench = new Bench(2);
  bench.batch("later", "later", "later");
  assert.deepEqual(bench.begun, [101, 102]);
  bench.finish(102);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(bench.begun, [101, 102, 103]);
  assert.deepEqual(bench.told.flushes.at(-1), ["result 102", "began 3"]);
});

test("a call that was given up is not answered, and one that waited never begins", async () => {
  const bench = new Bench(1);
  bench.batch("later", "now", "now");
  bench.queue.cancel(102);
  bench.queue.cancel(101);
  bench.finish(101);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(bench.begun, [101, 103]);
  assert.doesNotMatch(bench.told.flushes.flat().join(), /result 10[12]/);
});

test("calls that wait when the function is stopped are answered", async () => {
  const bench = new Bench(1);
  bench.batch("later", "now", "now");
  await bench.queue.stop();
  bench.told.flush();
  assert.deepEqual(bench.told.flushes.at(-1), ["failure 102 503", "failure 103 503"]);
});

test("sequences go on behind their largest number", () => {
  const bench = new Bench(1);
  for (const [id, sequence] of [
    [1, 0xffff_fffe],
    [2, 0xffff_ffff],
    [3, 0],
    [4, 1],
  ] as const)
    bench.queue.invoke(id, sequence, messageView("a", Buffer.from("now")));
  bench.queue.batchEnd();
  assert.deepEqual(bench.begun, [1, 2, 3, 4]);
});
