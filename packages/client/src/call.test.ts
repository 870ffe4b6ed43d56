import assert from "node:assert/strict";
import { test } from "node:test";
import { headers } from "@nats-io/nats-core";
import { errorCodeHeader, errorHeader } from "@nexengine/protocol/messages";
import { refusal, startBench, type TestBench } from "./testing/client.ts";

/** Answers on a subject with an error reply. */
async function failing(
  bench: TestBench,
  subject: string,
  given: Record<string, string>,
  body: string,
): Promise<void> {
  const connection = await bench.connection();
  connection.subscribe(subject, {
    callback: (_, message) => {
      const all = headers();
      for (const [name, value] of Object.entries(given)) all.set(name, value);
      message.respond(body, { headers: all });
    },
  });
  await connection.flush();
}

test("call gives the reply's bytes and headers, and sends its own", async () => {
  await using bench = await startBench();
  const connection = await bench.connection();
  let came = "";
  connection.subscribe("f", {
    callback: (_, message) => {
      came = message.headers?.get("X-Asked") ?? "";
      const all = headers();
      all.append("X-Two", "a");
      all.append("X-Two", "b");
      message.respond(message.data, { headers: all });
    },
  });
  await connection.flush();
  const bytes = Uint8Array.from([0, 200, 255]);
  const reply = await bench.client.call("f", bytes, { headers: { "X-Asked": "yes" } });
  assert.deepEqual(Uint8Array.from(reply.data), bytes);
  assert.deepEqual(reply.headers, { "X-Two": "a, b" });
  assert.equal(came, "yes");
  assert.equal((await bench.client.call("f")).data.length, 0);
  assert.equal(came, "");
});

test("call throws what an error reply says, by its code", async () => {
  await using bench = await startBench();
  const codes: [string, string][] = [
    ["400", "function_bad_call"],
    ["408", "function_timed_out"],
    ["429", "function_overloaded"],
    ["500", "function_threw"],
    ["503", "function_stopped"],
    ["418", "function_threw"],
    ["constructor", "function_threw"],
    ["__proto__", "function_threw"],
  ];
  for (const [at, [code, expected]] of codes.entries()) {
    await failing(bench, `f.${at}`, { [errorHeader]: "title", [errorCodeHeader]: code }, "it went wrong");
    const error = await refusal(bench.client.call(`f.${at}`));
    assert.equal(error.code, expected);
    assert.equal(error.message, `Cannot call "f.${at}": it went wrong`);
    assert.equal(typeof error.exit, "number");
  }
});

test("call takes either header for an error, and finds a text", async () => {
  await using bench = await startBench();
  await failing(bench, "title", { [errorHeader]: "only a title" }, "");
  await failing(bench, "code", { [errorCodeHeader]: "500" }, "");
  assert.equal((await refusal(bench.client.call("title"))).message, 'Cannot call "title": only a title');
  assert.equal((await refusal(bench.client.call("code"))).message, 'Cannot call "code": no reason given');
});

test("call makes the text of an error short and safe to show", async () => {
  await using bench = await startBench();
  await failing(bench, "f", { [errorCodeHeader]: "500" }, `one\n two\u001b[2J ${"x".repeat(100_000)}`);
  const { message } = await refusal(bench.client.call("f"));
  assert.ok(message.startsWith('Cannot call "f": one two\ufffd[2J xxx'), message.slice(0, 60));
  assert.ok(message.length < 1_100, String(message.length));
});

test("a reply without these headers is no error, whatever it says", async () => {
  await using bench = await startBench();
  await failing(bench, "f", { Status: "500" }, "Error: not really");
  assert.equal(Buffer.from((await bench.client.call("f")).data).toString(), "Error: not really");
});

test("a call that nobody listens to, and one that nobody answers, are told apart", async () => {
  await using bench = await startBench();
  const nobody = await refusal(bench.client.call("f", "", { timeoutMs: 600_000 }));
  assert.equal(nobody.code, "node_not_found");
  assert.equal(nobody.message, 'Cannot call "f": nobody answers on this subject, or no copy has room');
  const connection = await bench.connection();
  connection.subscribe("f", { callback: () => {} });
  await connection.flush();
  const silent = await refusal(bench.client.call("f", "", { timeoutMs: 60 }));
  assert.equal(silent.code, "timeout");
  assert.equal(silent.message, 'Cannot call "f": no reply within 60 ms');
});

test("call refuses what can't be sent, naming it", async () => {
  await using bench = await startBench({ config: "max_payload: 4096" });
  for (const subject of ["", "a b", "a..b", "a.*", "*", ">", "a.>", "a\r\nPING"]) {
    const error = await refusal(bench.client.call(subject));
    assert.equal(error.code, "usage", subject);
    assert.ok(!error.message.includes("\n"));
  }
  const large = await refusal(bench.client.call("f", "ü".repeat(2_049)));
  assert.equal(large.code, "request_too_large");
  assert.match(large.message, /payload has 4098 bytes, the NATS server accepts 4096$/);
  const header = await refusal(bench.client.call("f", "", { headers: { "a:b": "c" } }));
  assert.equal(header.code, "usage");
  assert.match(header.message, /header "a:b" can't be sent$/);
});

test("a payload that just fits is sent", async () => {
  await using bench = await startBench({ config: "max_payload: 4096" });
  const connection = await bench.connection();
  connection.subscribe("f", { callback: (_, message) => void message.respond(String(message.data.length)) });
  await connection.flush();
  assert.equal(Buffer.from((await bench.client.call("f", new Uint8Array(4_096))).data).toString(), "4096");
});

test("call says that the server does not permit it, and does not wait", async () => {
  const config = `authorization {
    users: [{ user: mute, password: m, permissions: { publish: { deny: ["f"] } } }]
  }`;
  await using bench = await startBench({ config, client: { user: "mute", password: "m" } });
  const error = await refusal(bench.client.call("f", "", { timeoutMs: 600_000 }));
  assert.equal(error.code, "connection_failed");
  assert.match(error.message, /^Cannot call "f": the NATS server does not permit it/);
});
