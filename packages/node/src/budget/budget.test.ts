import assert from "node:assert/strict";
import { test } from "node:test";
import { BootSlots } from "./boot-slots.ts";
import { Budget, readDescriptorLimit } from "./budget.ts";
import { Quota } from "./quota.ts";
import { Rate } from "./rate.ts";

test("Quota gives each owner its guaranteed part, whatever others take", () => {
  const quota = new Quota({ common: 100, guaranteed: 10, ownerMax: 1_000 });
  const greedy = quota.share();
  assert.ok(greedy.take(110));
  assert.equal(greedy.take(1), false);
  const neighbour = quota.share();
  assert.ok(neighbour.take(10));
  assert.equal(neighbour.take(1), false);
  assert.equal(quota.refused, 2);
  assert.equal(quota.commonUsed, 100);
});

test("Quota bounds one owner where there is room for more", () => {
  const share = new Quota({ common: 1_000, guaranteed: 10, ownerMax: 50 }).share();
  assert.ok(share.take(50));
  assert.equal(share.take(1), false);
  share.give(20);
  assert.ok(share.fits(20));
  assert.equal(share.fits(21), false);
});

test("Share gives back what it held when it is closed, and takes nothing after that", () => {
  const quota = new Quota({ common: 100, guaranteed: 10, ownerMax: 1_000 });
  const share = quota.share();
  assert.ok(share.take(60));
  assert.equal(quota.commonUsed, 50);
  share.close();
  assert.equal(quota.commonUsed, 0);
  assert.equal(share.take(1), false);
  share.give(60);
  assert.equal(quota.commonUsed, 0);
});

test("Rate begins anew with each window, and tells when that is", () => {
  let nowMs = 0;
  const rate = new Rate({ windowMs: 100, common: 3, guaranteed: 1, ownerMax: 3 }, () => nowMs);
  const [one, other] = [rate.share(), rate.share()];
  assert.deepEqual([one.take(), one.take(), one.take(), one.take()], [true, true, true, false]);
  assert.deepEqual([other.take(), other.take(), other.take()], [true, true, false]);
  nowMs = 60;
  assert.equal(one.waitMs, 40);
  nowMs = 100;
  assert.ok(one.take());
});

test("Rate lets whoever was counted beyond the maximum wait until that is over", () => {
  let nowMs = 0;
  const share = new Rate({ windowMs: 100, common: 100, guaranteed: 1, ownerMax: 10 }, () => nowMs).share();
  const counted = Array.from({ length: 25 }, () => share.count());
  assert.equal(counted.filter(Boolean).length, 10);
  assert.deepEqual([share.isOver, share.waitMs], [true, 300]);
  nowMs = 100;
  assert.deepEqual([share.isOver, share.waitMs], [true, 200]);
  nowMs = 200;
  assert.equal(share.isOver, false);
  assert.equal(share.count(), true);
});

test("BootSlots runs no more than its number at once, in order, and names what a boot waited for", async () => {
  const slots = new BootSlots(1);
  const first = Promise.withResolvers<void>();
  const order: string[] = [];
  const running = slots.run("n", 1, async () => {
    await first.promise;
    order.push("first");
  });
  const second = slots.run("n", 60_000, async () => order.push("second"));
  await assert.rejects(
    slots.run("n", 1, async () => order.push("never")),
    { code: "no_ready_machine", message: /1 machines boot already, and none was ready within 1 ms/ },
  );
  first.resolve();
  await Promise.all([running, second]);
  assert.deepEqual(order, ["first", "second"]);
});

test("BootSlots lets owners take turns: many boots of one do not keep another waiting", async () => {
  const slots = new BootSlots(1);
  const first = Promise.withResolvers<void>();
  const order: string[] = [];
  const boots = [slots.run("greedy", 60_000, () => first.promise)];
  for (let at = 0; at < 5; at++)
    boots.push(slots.run("greedy", 60_000, async () => void order.push("greedy")));
  boots.push(slots.run("other", 60_000, async () => void order.push("other")));
  first.resolve();
  await Promise.all(boots);
  assert.equal(order.indexOf("other"), 1);
  assert.equal(order.length, 6);
});

test("Share counts what can't be refused any more, and others get nothing until it is given back", () => {
  const quota = new Quota({ common: 100, guaranteed: 10, ownerMax: 50 });
  const share = quota.share();
  share.count(500);
  assert.deepEqual([share.used, quota.commonUsed], [500, 490]);
  const other = quota.share();
  assert.equal(other.take(20), false);
  share.give(500);
  assert.ok(other.take(20));
  assert.equal(quota.commonUsed, 10);
});

test("Budget shares descriptors out: the node's own, sockets of workloads, and machines with their guaranteed sockets", () => {
  const { sockets, machines } = new Budget({ descriptors: 1_024, bootsMax: 4, unsentBytesMax: 1 });
  const share = sockets.share();
  assert.equal(share.take(97), false);
  assert.ok(share.take(96));
  const { common: machinesMax } = machines.options;
  assert.ok(machinesMax >= 16, `${machinesMax} machines`);
  const perMachine = 16 + 2 * sockets.options.guaranteed;
  assert.ok(256 + sockets.options.common + machinesMax * perMachine <= 1_024);
  assert.ok(readDescriptorLimit() >= 256);
});
