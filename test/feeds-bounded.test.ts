/** Limits of events and logs: a server that does not read, and a workload that writes too much. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestNatsServer, until } from "@nexengine/testing";
import { pino } from "pino";
import { Budget } from "../packages/node/src/budget/budget.ts";
import { closeConnection, connectNats } from "../packages/node/src/connections/connect.ts";
import { unsentBytes } from "../packages/node/src/connections/unsent-bytes.ts";
import { LogFeed } from "../packages/node/src/telemetry/log-feed.ts";
import { Outlet } from "../packages/node/src/telemetry/outlet.ts";

/** A logger, and what it was told. */
function recorded(): { log: pino.Logger; lines: { messages?: number; msg: string }[] } {
  const lines: { messages?: number; msg: string }[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

test("Outlet drops and counts what a server that does not read would make it hold, and goes on after that", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  const connection = await connectNats({ servers: [server.url] });
  const { log, lines } = recorded();
  using outlet = new Outlet(connection, 100_000, log);
  process.kill(server.pid, "SIGSTOP");
  try {
    const message = Buffer.alloc(10_000);
    for (let sent = 0; sent < 3_000; sent++) {
      outlet.publish("logs", message);
      // So that the socket takes what the system takes.
      if (sent % 10 === 0) await new Promise(setImmediate);
    }
    assert.ok(unsentBytes(connection) <= 100_000, `${unsentBytes(connection)} bytes wait`);
    assert.ok(outlet.dropped > 0);
    await until(() => lines.length > 0);
    assert.match(lines[0]?.msg ?? "", /were dropped: the NATS server takes no more/);
    assert.ok((lines[0]?.messages ?? 0) > 0);
  } finally {
    process.kill(server.pid, "SIGCONT");
  }
  await until(() => unsentBytes(connection) === 0);
  const { dropped } = outlet;
  assert.equal(outlet.publish("logs", Buffer.alloc(10)), true);
  assert.equal(outlet.dropped, dropped);
  await closeConnection(connection);
});

test("Logs counts lines too: a workload that writes nothing but line ends is held", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  const connection = await connectNats({ servers: [server.url] });
  using outlet = new Outlet(connection, 2 ** 26, recorded().log);
  const { logLines } = new Budget({ bootsMax: 1, unsentBytesMax: 1 });
  const logs = new LogFeed(outlet, "N", 1_048_576, logLines);
  const received = { lines: 0, dropped: 0 };
  const reader = await connectNats({ servers: [server.url] });
  reader.subscribe("$NEX.logs.>", {
    callback: (_, message) => {
      const { text } = JSON.parse(Buffer.from(message.data).toString());
      const dropped = /^(\d+) log lines were dropped/.exec(text)?.[1];
      if (dropped === undefined) received.lines++;
      else received.dropped += Number(dropped);
    },
  });
  await reader.flush();
  const workload = { id: "w1", namespace: "default", name: "flood" };
  const beganMs = performance.now();
  const written = 50_000;
  for (let line = 0; line < written; line++) logs.line(workload, "INFO", "");
  const seconds = Math.floor((performance.now() - beganMs) / 1_000) + 2;
  await until(() => received.lines + received.dropped === written);
  assert.ok(received.lines <= 2_000 * seconds, `${received.lines} lines in ${seconds} s`);
  // A neighbour writes as it likes meanwhile.
  logs.line({ id: "w2", namespace: "default", name: "quiet" }, "INFO", "hello");
  await until(() => received.lines + received.dropped === written + 1);
  for (const id of ["w1", "w2"]) logs.forget(id);
  await closeConnection(reader);
  await closeConnection(connection);
});
