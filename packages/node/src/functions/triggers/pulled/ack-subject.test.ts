import assert from "node:assert/strict";
import { test } from "node:test";
import { deliveryTimeMs, parseAckSubject, readCounts } from "./ack-subject.ts";

const short = "$JS.ACK.ORDERS.nex_a_b.3.17.20.1764500000123456789.42";
const long = "$JS.ACK.hub.ABCDEF.ORDERS.nex_a_b.3.17.20.1764500000123456789.42";
const longer = `${long}.r4nd0m`;

test("parseAckSubject reads the facts of a delivery in every form", () => {
  for (const subject of [short, long, longer]) {
    const delivery = parseAckSubject(subject);
    assert.deepEqual(delivery, {
      ...{ stream: "ORDERS", consumer: "nex_a_b", timeNs: "1764500000123456789" },
      ...{ count: 3, sequence: 17, pending: 42 },
    });
    assert.equal(delivery && deliveryTimeMs(delivery), 1_764_500_000_123);
  }
});

test("parseAckSubject knows other subjects", () => {
  for (const subject of ["", "_INBOX.a.b", "$JS.ACK.ORDERS.x.1.2", short.replace(".3.", ".x."), `${short}x`])
    assert.equal(parseAckSubject(subject), undefined, subject);
});

test("readCounts reads the numbers from a range of a buffer, and gives harmless ones for anything else", () => {
  const counts = (subject: string): number[] => {
    const bytes = Buffer.from(`ab${subject}cd`);
    const to = { deliveries: 0, pending: 0 };
    readCounts(bytes, 2, bytes.length - 2, to);
    return [to.deliveries, to.pending];
  };
  for (const subject of [short, long, longer]) assert.deepEqual(counts(subject), [3, 42], subject);
  assert.deepEqual(counts(""), [1, 0]);
  assert.deepEqual(counts("_INBOX.x"), [1, 0]);
});
