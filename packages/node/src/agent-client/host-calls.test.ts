import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import {
  CallError,
  decodeHostReply,
  encodeHostCall,
  FrameConnection,
  FrameType,
  HostMethod,
  type HostReply,
  PayloadAssembler,
} from "@nexengine/protocol/agent";
import { Budget } from "../budget/budget.ts";
import { Quota } from "../budget/quota.ts";
import { AgentClient } from "./agent-client.ts";
import { HostCalls } from "./host-calls.ts";

const mebibyte = 1_048_576;

/** Host calls of an agent that stands at the other end, in a budget of so many bytes. */
function bench(bytesMax: number, handler: (method: number) => Promise<HostReply>) {
  const [ours, theirs] = duplexPair();
  const [blocking, agentBlocking] = duplexPair();
  const quota = new Quota({ common: bytesMax, guaranteed: 0, ownerMax: bytesMax });
  const held = quota.share();
  const errors: Error[] = [];
  const node = new FrameConnection(ours, {
    frame: (_type, flags, id, payload) => hostCalls.take(flags, id, payload),
    end: () => undefined,
  });
  const hostCalls = new HostCalls(node, blocking, held, (error) => errors.push(error));
  hostCalls.serve(handler);
  const replies = new Map<number, HostReply>();
  const assembler = new PayloadAssembler(64 * mebibyte);
  const agent = new FrameConnection(theirs, {
    frame: (_type, flags, id, payload) => {
      const whole = assembler.add(flags, id, payload);
      if (whole !== undefined) replies.set(id, decodeHostReply(whole));
    },
    end: () => undefined,
  });
  const send = (id: number, bytes: number): void => {
    const body = encodeHostCall(HostMethod.publish, [Buffer.from("s"), Buffer.alloc(bytes)]);
    agent.sendLong(FrameType.hostCall, 0, id, body);
    agent.flush();
  };
  return { send, replies, held, errors, agentBlocking };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

test("HostCalls answers calls that the node's budget has no room for with 429, and takes others again", async () => {
  const open: (() => void)[] = [];
  const { send, replies, held } = bench(
    3 * mebibyte,
    () => new Promise((resolve) => open.push(() => resolve({ kind: "nothing" }))),
  );
  for (const id of [1, 2, 3, 4]) send(id, mebibyte);
  await until(() => replies.size === 2);
  for (const id of [3, 4]) {
    const reply = replies.get(id);
    assert.ok(reply?.kind === "error" && reply.code === CallError.overloaded, JSON.stringify(reply));
  }
  assert.equal(open.length, 2);
  for (const answer of open.splice(0)) answer();
  await until(() => replies.size === 4 && held.used === 0);
  send(5, mebibyte);
  await until(() => open.length === 1);
  open[0]?.();
  await until(() => held.used === 0);
});

test("HostCalls answers a blocking call that the budget has no room for with 429", async () => {
  const { agentBlocking, held, errors } = bench(mebibyte, async () => ({ kind: "nothing" }));
  const reply = async (bytes: number, id: number): Promise<HostReply> => {
    const body = encodeHostCall(HostMethod.publish, [Buffer.from("s"), Buffer.alloc(bytes)]);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(body.length + 4, 0);
    head.writeUInt32LE(id, 4);
    const whole = Buffer.concat([head, body]);
    const answered = once(agentBlocking, "data") as Promise<[Buffer]>;
    for (let at = 0; at < whole.length; at += 65_536) {
      agentBlocking.write(whole.subarray(at, at + 65_536));
      await new Promise(setImmediate);
    }
    const [answer] = await answered;
    return decodeHostReply(answer.subarray(8));
  };
  const refused = await reply(4 * mebibyte, 1);
  assert.ok(refused.kind === "error" && refused.code === CallError.overloaded, JSON.stringify(refused));
  assert.deepEqual(await reply(100, 2), { kind: "nothing" });
  assert.deepEqual([held.used, errors], [0, []]);
});

test("a machine lives on while others fill the node's budget, and its calls get 429 until they give back", async () => {
  const budget = new Budget({ memoryBytes: 64 * mebibyte, bootsMax: 1, unsentBytesMax: 1 });
  const [ours, theirs] = duplexPair();
  const ended: (string | undefined)[] = [];
  const events = { log: () => undefined, exited: () => undefined };
  const shares = budget.ofMachine();
  const client = new AgentClient(ours, { ...events, ended: (error) => ended.push(error?.message) }, shares);
  const open: (() => void)[] = [];
  client.hostCalls.serve(() => new Promise((resolve) => open.push(() => resolve({ kind: "nothing" }))));
  const replies: HostReply[] = [];
  const agent = new FrameConnection(theirs, {
    frame: (type, _flags, id, payload) => {
      if (type === FrameType.ping) agent.send(FrameType.pong, 0, id);
      else replies.push(decodeHostReply(payload));
    },
    end: () => undefined,
  });
  const call = (id: number, bytes: number): void => {
    const body = encodeHostCall(HostMethod.publish, [Buffer.from("s"), Buffer.alloc(bytes)]);
    agent.sendLong(FrameType.hostCall, 0, id, body);
  };
  call(1, 3 * mebibyte);
  await until(() => open.length === 1);
  const greedy = budget.heldBytes.share();
  while (greedy.take(65_536));
  // Each frame to the machine is counted; none of them may end its channel.
  assert.equal(await client.ping(5_000), true);
  call(2, mebibyte);
  await until(() => replies.length === 1);
  assert.ok(replies[0]?.kind === "error" && replies[0].code === CallError.overloaded);
  greedy.close();
  open[0]?.();
  await until(() => replies.length === 2);
  assert.deepEqual([replies[1], ended], [{ kind: "nothing" }, []]);
  client.close();
});
