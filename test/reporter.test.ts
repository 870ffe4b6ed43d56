/** Listeners of the reporter, on a real server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NatsConnection } from "@nats-io/nats-core";
import { startTestNatsServer } from "@nexengine/testing";
import { pino } from "pino";
import { Budget } from "../packages/node/src/budget/budget.ts";
import { closeConnection, connectNats } from "../packages/node/src/connections/connect.ts";
import { EventFeed } from "../packages/node/src/telemetry/event-feed.ts";
import { LogFeed } from "../packages/node/src/telemetry/log-feed.ts";
import { NodeLog } from "../packages/node/src/telemetry/node-log.ts";
import { Outlet } from "../packages/node/src/telemetry/outlet.ts";
import { Reporter } from "../packages/node/src/telemetry/reporter.ts";

const workload = { id: "w1", namespace: "shop", name: "orders" };
const { logLines } = new Budget({ bootsMax: 1, unsentBytesMax: 1 });

/** A reporter with all listeners of a node, and what each of them has passed on. */
class Bench implements AsyncDisposable {
  readonly events: string[] = [];
  readonly logLines: string[] = [];
  readonly nodeLog: string[] = [];
  readonly reporter: Reporter;
  readonly #connection: NatsConnection;
  readonly #outlet: Outlet;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    const write = (line: string): void => void this.nodeLog.push(JSON.parse(line).msg);
    const log = pino({ level: "debug" }, { write });
    this.#outlet = new Outlet(connection, 2 ** 20, log);
    connection.subscribe("$NEX.>", {
      callback: (_, { subject, data }) => {
        const said = JSON.parse(Buffer.from(data).toString());
        if (subject.startsWith("$NEX.logs.")) this.logLines.push(said.text);
        else this.events.push(`${subject.split(".").at(2)} ${said.type}`);
      },
    });
    const logs = new LogFeed(this.#outlet, "N1", 65_536, logLines);
    this.reporter = new Reporter([new EventFeed(this.#outlet, "N1"), logs, new NodeLog(log)]);
  }

  /** Returns once everything that was told has arrived. */
  async settled(): Promise<this> {
    await this.#connection.flush();
    await this.#connection.flush();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#outlet[Symbol.dispose]();
    await closeConnection(this.#connection);
  }
}

test("a fact is told once, and each listener makes of it what it has for it", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  await using bench = new Bench(await connectNats({ servers: [server.url] }));
  const { reporter } = bench;
  reporter.tell({ type: "workload_deployed", workload });
  reporter.tell({ type: "workload_undeployed", workload, code: 3, reason: "status: 3" });
  reporter.tell({ type: "deploy_refused", namespace: "shop", code: "claims_invalid", reason: "no" });
  reporter.tell({ type: "heartbeat", status: {} });
  reporter.line(workload, "INFO", "hello");
  await bench.settled();
  assert.deepEqual(bench.events, [
    "shop workload_deployed",
    "shop workload_undeployed",
    "shop deploy_refused",
    "system heartbeat",
  ]);
  assert.deepEqual(bench.logLines, ["Workload orders deployed", "Workload orders ended: status: 3", "hello"]);
  assert.deepEqual(bench.nodeLog, ["workload runs", "workload ended", "deploy refused"]);
});

test("a refusal in an invalid namespace has no event, because it has no subject", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  await using bench = new Bench(await connectNats({ servers: [server.url] }));
  bench.reporter.tell({ type: "stop_refused", namespace: "a b", code: "namespace_invalid", reason: "no" });
  await bench.settled();
  assert.deepEqual(bench.events, []);
  assert.deepEqual(bench.nodeLog, ["stop refused"]);
});

test("calls of a busy function have ten events a second, and the next one counts the others", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  await using bench = new Bench(await connectNats({ servers: [server.url] }));
  const { reporter } = bench;
  for (let at = 0; at < 500; at++) reporter.callSucceeded(workload, "orders", 1_000, 10);
  reporter.callFailed(workload, "orders", { code: 500, text: "boom" }, 1_000);
  await bench.settled();
  // A second may begin while the calls are told.
  assert.ok(bench.events.length >= 10 && bench.events.length <= 30, `${bench.events.length} events`);
  assert.deepEqual(bench.logLines, ["Function execution failed: boom"]);
});
