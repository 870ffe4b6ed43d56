import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../fixtures/random.ts";
import {
  decodeHostCall,
  decodeHostReply,
  encodeHostCall,
  encodeHostReply,
  HostMethod,
  type HostReply,
  hostCallBytesMax,
} from "./host-call.ts";

test("decodeHostCall reverses encodeHostCall", () => {
  const random = seededRandom(3);
  for (let count = 0; count < 9; count++) {
    const args = Array.from({ length: count }, (_, at) => random.bytes(at * 37));
    const { method, args: decoded } = decodeHostCall(encodeHostCall(HostMethod.kvSet, args));
    assert.equal(method, HostMethod.kvSet);
    assert.deepEqual(decoded, args);
  }
});

test("decodeHostReply reverses encodeHostReply for every kind", () => {
  const replies: HostReply[] = [
    { kind: "nothing" },
    { kind: "bytes", bytes: Buffer.from([0, 200, 255]) },
    { kind: "bytes", bytes: Buffer.alloc(0) },
    { kind: "json", value: { a: ["☃", null, 1.5] } },
    { kind: "list", items: [] },
    { kind: "list", items: [Buffer.alloc(0), Buffer.from("x")] },
    { kind: "error", code: 404, text: 'no key "☃"' },
  ];
  for (const reply of replies) assert.deepEqual(decodeHostReply(encodeHostReply(reply)), reply);
});

test("calls and replies that are truncated or too long are refused", () => {
  const call = encodeHostCall(1, [Buffer.from("key"), Buffer.from("value")]);
  for (let length = 0; length < call.length; length++)
    assert.throws(() => decodeHostCall(call.subarray(0, length)), { code: "agent_protocol" }, `${length}`);
  assert.throws(() => decodeHostCall(Buffer.concat([call, Buffer.from([0])])), { code: "agent_protocol" });
  assert.throws(() => decodeHostCall(Buffer.from([1, 255])), { code: "agent_protocol" });
  assert.throws(() => decodeHostCall(Buffer.from([1, 1, 255, 255, 255, 255])), { code: "agent_protocol" });
  for (const bad of [[], [9], [3, 1], [4], [4, 1]])
    assert.throws(() => decodeHostReply(Buffer.from(bad)), { code: "agent_protocol" });
});

test("a call or reply over the maximum size becomes an error", () => {
  assert.throws(() => encodeHostCall(2, [Buffer.alloc(hostCallBytesMax)]), { code: "usage" });
  const reply = decodeHostReply(encodeHostReply({ kind: "bytes", bytes: Buffer.alloc(hostCallBytesMax) }));
  assert.equal(reply.kind === "error" && reply.code, 413);
});
