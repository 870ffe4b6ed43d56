/** Functions under load are replaced, and their node is drained: each request is answered, and handled once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deployment } from "@nexengine/client";
import { createKey, signerOfSeed } from "@nexengine/protocol";
import { startTestNexus, startTestNode, type TestNexus } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";

/** Requests that are asked at once: more than a machine takes ahead, so that some wait in the node's queue, and none long. */
const callersMax = 80;
const answerTimeoutMs = 60_000;

/** Says its version, and tells that it has handled the request. */
const worker = (version: number): string => `
  module.exports = async (subject, payload) => {
    await hostServices.promises.messaging.publish("handled", payload);
    await new Promise((resolve) => setTimeout(resolve, 10));
    return ${version};
  };`;

/** Callers that ask all the time. */
class Load {
  readonly failures: string[] = [];
  /** Number of replies by their text. */
  readonly replies = new Map<string, number>();
  /** How often each request was handled. */
  readonly handled = new Map<string, number>();
  sent = 0;
  readonly #nexus: TestNexus;
  readonly #callers: Promise<void>[];
  #isOver = false;

  constructor(nexus: TestNexus, subject: string) {
    this.#nexus = nexus;
    nexus.client.connection.subscribe("handled", {
      callback: (_, message) => {
        const id = message.string();
        this.handled.set(id, (this.handled.get(id) ?? 0) + 1);
      },
    });
    this.#callers = Array.from({ length: callersMax }, () => this.#callAlways(subject));
  }

  async #callAlways(subject: string): Promise<void> {
    while (!this.#isOver) {
      const id = String(this.sent++);
      try {
        const { data } = await this.#nexus.client.call(subject, id, { timeoutMs: answerTimeoutMs });
        const reply = Buffer.from(data).toString();
        this.replies.set(reply, (this.replies.get(reply) ?? 0) + 1);
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  /** Waits for that many more replies, from this version if one is named. */
  async more(count: number, version?: number): Promise<void> {
    const total = (): number =>
      this.replies.get(String(version)) ?? this.replies.values().reduce((a, b) => a + b, 0);
    const until = total() + count;
    await eventually(async () => (this.failures.length > 0 || total() >= until ? true : undefined));
  }

  /** Lets the last requests be answered, and checks all. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#callers);
    assert.deepEqual([this.failures.length, ...this.failures.slice(0, 3)], [0]);
    await eventually(async () => (this.handled.size >= this.sent ? true : undefined));
    assert.deepEqual(
      [...this.handled].filter(([, times]) => times !== 1),
      [],
    );
    assert.equal(this.handled.size, this.sent);
  }
}

test("a function that is replaced several times under load loses no request, and handles none twice", async () => {
  await using nexus = await startTestNexus();
  const options = { name: "busy", triggerSubjects: ["busy"], concurrency: 2 };
  let current: Deployment = await nexus.function(worker(0), options);
  const load = new Load(nexus, "busy");
  for (let version = 1; version <= 5; version++) {
    await load.more(callersMax);
    const next = await nexus.function(worker(version), { ...options, replaces: [current] });
    assert.equal(next.replaced, current.id);
    current = next;
  }
  await load.more(callersMax);
  await load.end();
  assert.deepEqual([...load.replies.keys()].sort(), ["0", "1", "2", "3", "4", "5"]);
});

test("a node that is drained under load loses no request, and the other one goes on", async () => {
  const key = signerOfSeed(createKey("operator").seed);
  const config = { operators: [key.publicKey] };
  await using nexus = await startTestNexus({ config });
  await using other = await startTestNode({ server: nexus.server.url });
  const options = { name: "shared", triggerSubjects: ["shared"], concurrency: 2 };
  await nexus.function(worker(1), { ...options, node: nexus.node.id });
  await nexus.function(worker(2), { ...options, node: other.id });
  const load = new Load(nexus, "shared");
  await load.more(callersMax, 1);
  await load.more(callersMax, 2);
  await nexus.client.lameDuck(nexus.node.id, { operator: { key, deadlineMs: 600_000 } });
  await nexus.node.ended;
  await load.more(callersMax, 2);
  await load.end();
});
