/** Both trigger connections, on nats.js alone and with our own dispatch, against a real server. */
import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { headers, type Msg, type NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { fastTriggerConnection } from "../packages/node/src/functions/triggers/fast-connection.ts";
import {
  type MessageTaker,
  PlainTriggerConnection,
  type TriggerConnection,
  type TriggerMessage,
} from "../packages/node/src/functions/triggers/trigger-connection.ts";
import { startTestNatsServer } from "../packages/testing/src/nats-server.ts";
import { startTestNexus } from "../packages/testing/src/nexus.ts";
import { until } from "../packages/testing/src/observe.ts";
import { hasOpenssl, TestAuthority } from "./support/certificates.ts";

interface Taken {
  subject: string;
  reply: string;
  headers: string;
  payload: string;
}

/** The parts that a taker gets, as text, handed on at once so that a buffer which changes later shows. */
function taker(take: (taken: Taken, message: TriggerMessage) => void): MessageTaker {
  return (message) => {
    const text = (start: number, end: number): string => message.bytes.toString("latin1", start, end);
    take(
      {
        subject: text(message.subjectStart, message.subjectEnd),
        reply: text(message.replyStart, message.replyEnd),
        headers: text(message.headersStart, message.payloadStart),
        payload: text(message.payloadStart, message.payloadEnd),
      },
      message,
    );
  };
}

/** Answers each message with its payload. */
function echo(triggers: TriggerConnection): MessageTaker {
  return (message) => {
    if (message.replyEnd > message.replyStart)
      triggers.publish(message, { ...message, headersStart: message.payloadStart });
  };
}

const kinds: Record<string, (connection: NatsConnection) => TriggerConnection> = {
  plain: (connection) => new PlainTriggerConnection(connection),
  fast: (connection) => {
    const found = fastTriggerConnection(connection);
    assert.ok(found, "nats.js has the inside that this builds on");
    return found;
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: messages of every form and size arrive whole, in their order`, async () => {
    await using server = await startTestNatsServer({ jetstream: false });
    const connection = await connect({ servers: server.url });
    const sender = await connect({ servers: server.url });
    const triggers = make(connection);
    const taken: Taken[] = [];
    triggers.subscribe(
      "t.>",
      "group",
      taker((one) => taken.push(one)),
    );
    await triggers.flush();
    const sizes = [0, 1, 2, 100, 4_096, 65_535, 65_536, 65_537, 200_000, 1_000_000];
    const expected: Taken[] = [];
    for (const [at, size] of sizes.entries()) {
      for (const form of ["plain", "reply", "headers"]) {
        const payload = Buffer.alloc(size, (at % 26) + 97);
        const subject = `t.${form}.${size}`;
        const options = {
          ...(form === "plain" ? {} : { reply: `back.${at}` }),
          ...(form === "headers" ? { headers: withHeader("X-A", `v${at}`) } : {}),
        };
        sender.publish(subject, payload, options);
        expected.push({
          subject,
          reply: form === "plain" ? "" : `back.${at}`,
          headers: form === "headers" ? `NATS/1.0\r\nX-A: v${at}\r\n\r\n` : "",
          payload: payload.toString("latin1"),
        });
      }
    }
    await sender.flush();
    await until(() => taken.length === expected.length);
    for (const [at, one] of expected.entries()) {
      const got = taken[at] as Taken;
      assert.equal(got.payload.length, one.payload.length);
      assert.ok(got.payload === one.payload);
      assert.deepEqual({ ...got, payload: "" }, { ...one, payload: "" });
    }
    await sender.close();
    await connection.close();
  });

  test(`${kind}: thousands of small messages in few chunks, and what else is on the connection`, async () => {
    await using server = await startTestNatsServer({ jetstream: false });
    const connection = await connect({ servers: server.url });
    const sender = await connect({ servers: server.url });
    const triggers = make(connection);
    triggers.subscribe("echo", "group", echo(triggers));
    let others = 0;
    connection.subscribe("other", { callback: () => void others++ });
    await triggers.flush();
    let replies = 0;
    const inbox = "back.here";
    sender.subscribe(inbox, {
      callback: (_, { data }) => {
        if (data.length === 3) replies++;
      },
    });
    for (let at = 0; at < 5_000; at++) {
      sender.publish("echo", "abc", { reply: inbox });
      if (at % 7 === 0) sender.publish("other", "x".repeat(at));
    }
    await sender.flush();
    await until(() => replies === 5_000 && others === 715);
    // The ordinary things of a connection go on beside it.
    await connection.flush();
    assert.ok((await connection.rtt()) >= 0);
    await sender.close();
    await connection.close();
  });

  test(`${kind}: replies carry headers and binary`, async () => {
    await using server = await startTestNatsServer({ jetstream: false });
    const connection = await connect({ servers: server.url });
    const triggers = make(connection);
    triggers.subscribe("h", undefined, (message) => {
      const block = Buffer.from("NATS/1.0\r\nX-B: ☃\r\n\r\n");
      const payload = message.bytes.subarray(message.payloadStart, message.payloadEnd);
      const bytes = Buffer.concat([block, payload]);
      const content = { headersStart: 0, payloadStart: block.length, payloadEnd: bytes.length };
      triggers.publish(message, { bytes, ...content });
    });
    await triggers.flush();
    const every = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    for (const payload of [every, Buffer.alloc(0), Buffer.alloc(300_000, 200)]) {
      const answer: Msg = await connection.request("h", payload, { timeout: 5_000 });
      assert.equal(answer.headers?.get("X-B"), "☃");
      assert.deepEqual(Buffer.from(answer.data), payload);
    }
    await connection.close();
  });

  test(`${kind}: a drained subscription hands out what was sent before, and nothing after`, async () => {
    await using server = await startTestNatsServer({ jetstream: false });
    const connection = await connect({ servers: server.url });
    const sender = await connect({ servers: server.url });
    const triggers = make(connection);
    const taken: string[] = [];
    const subscription = triggers.subscribe(
      "d",
      "group",
      taker(({ payload }) => taken.push(payload)),
    );
    await triggers.flush();
    for (let at = 0; at < 100; at++) sender.publish("d", String(at));
    await sender.flush();
    await subscription.drain();
    assert.equal(taken.length, 100);
    sender.publish("d", "late");
    await sender.flush();
    await connection.flush();
    assert.equal(taken.length, 100);
    await sender.close();
    await connection.close();
  });

  test(`${kind}: triggers come back after the server was away, in the middle of a message too`, async () => {
    await using server = await startTestNatsServer({ jetstream: false });
    const options = { servers: server.url, reconnectTimeWait: 20, maxReconnectAttempts: -1 };
    const connection = await connect(options);
    const triggers = make(connection);
    triggers.subscribe("echo", "group", echo(triggers));
    await triggers.flush();
    for (let round = 0; round < 2; round++) {
      const sender = await connect({ servers: server.url });
      for (let at = 0; at < 20; at++) sender.publish("echo", Buffer.alloc(900_000));
      const back = statusOf(connection, "reconnect");
      await server.kill();
      await server.restart();
      await back;
      await sender.close();
      const asker = await connect({ servers: server.url });
      await triggers.flush();
      const answer = await asker.request("echo", `round ${round}`, { timeout: 5_000 });
      assert.equal(answer.string(), `round ${round}`);
      await asker.close();
    }
    await connection.close();
  });
}

test("our own dispatch, encrypted and with credentials", {
  skip: hasOpenssl() ? false : "no openssl makes certificates here",
}, async () => {
  using authority = new TestAuthority();
  const { cert, key } = authority.issue("server", "IP:127.0.0.1,DNS:localhost");
  await using server = await startTestNatsServer({
    jetstream: false,
    config: `tls { cert_file: "${cert}", key_file: "${key}" }\nauthorization { user: u, password: p }`,
  });
  const options = { servers: server.url, user: "u", pass: "p", tls: { caFile: authority.ca } };
  const connection = await connect(options);
  const triggers = kinds["fast"]?.(connection) as TriggerConnection;
  triggers.subscribe("echo", "group", echo(triggers));
  await triggers.flush();
  const asker = await connect(options);
  for (const size of [0, 16, 20_000, 500_000]) {
    const answer = await asker.request("echo", Buffer.alloc(size, 7), { timeout: 5_000 });
    assert.ok(Buffer.from(answer.data).equals(Buffer.alloc(size, 7)));
  }
  await asker.close();
  await connection.close();
});

test("our own dispatch begins in the middle of a message, and neither side loses any", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  const connection = await connect({ servers: server.url });
  const sender = await connect({ servers: server.url });
  const { protocol } = connection as unknown as { protocol: { parser: { state: number } } };
  const large = Buffer.alloc(900_000, 5);
  let intact = 0;
  connection.subscribe("large", {
    callback: (_, { data }) => {
      if (Buffer.from(data).equals(large)) intact++;
    },
  });
  await connection.flush();
  let sent = 0;
  while (protocol.parser.state === 0) {
    sender.publish("large", large);
    sent++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const triggers = kinds["fast"]?.(connection) as TriggerConnection;
  const taken: string[] = [];
  triggers.subscribe(
    "small",
    undefined,
    taker(({ payload }) => taken.push(payload)),
  );
  await triggers.flush();
  for (let at = 0; at < 100; at++) {
    sender.publish("small", String(at));
    if (at % 10 === 0) {
      sender.publish("large", large);
      sent++;
    }
  }
  await sender.flush();
  await until(() => intact === sent && taken.length === 100);
  assert.deepEqual(
    taken,
    Array.from({ length: 100 }, (_, at) => String(at)),
  );
  await sender.close();
  await connection.close();
});

for (const [what, line] of [
  ["a negative size", "MSG t 1 -5\r\n"],
  ["no size", "MSG t 1 x\r\n"],
  ["a size beyond all bounds", "MSG t 1 4000000000\r\n"],
  ["more headers than message", "HMSG t 1 50 5\r\nhello\r\n"],
  ["a line without an end", "x".repeat(2_000_000)],
] as const) {
  test(`a server that sends ${what} is left, and the node goes on`, async () => {
    let connections = 0;
    const info = { server_id: "x", version: "2.10.0", proto: 1, max_payload: 1_048_576, headers: true };
    const left = Promise.withResolvers<void>();
    const server = createServer((socket) => {
      connections++;
      socket.on("error", () => undefined);
      socket.write(`INFO ${JSON.stringify(info)}\r\n`);
      socket.on("data", (chunk) => {
        const text = chunk.toString();
        if (text.includes("PING")) socket.write("PONG\r\n");
        if (text.includes("SUB t")) socket.write(line);
      });
      socket.once("close", () => left.resolve());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
    const triggers = kinds["fast"]?.(connection) as TriggerConnection;
    triggers.subscribe("t", undefined, () => assert.fail("it is no message"));
    await triggers.flush().catch(() => undefined);
    await left.promise;
    assert.equal(connections, 1);
    await connection.close();
    await new Promise((resolve) => server.close(resolve));
  });
}

test("a request with more headers than a function takes is answered so", async () => {
  await using nexus = await startTestNexus();
  await nexus.function("(subject, payload, { headers }) => headers.get('a').length", { name: "f" });
  assert.equal(
    Buffer.from((await nexus.client.call("f", "", { headers: { a: "b".repeat(16_000) } })).data).toString(),
    "16000",
  );
  for (const size of [16_384, 66_000, 200_000])
    await assert.rejects(
      nexus.client.call("f", "x", { headers: { a: "b".repeat(size) } }),
      /bytes of headers/,
    );
});

test("what our own dispatch hands out stays as it is while later messages arrive", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  const connection = await connect({ servers: server.url });
  const sender = await connect({ servers: server.url });
  const triggers = kinds["fast"]?.(connection) as TriggerConnection;
  const kept: { text: string; message: TriggerMessage }[] = [];
  triggers.subscribe(
    "k",
    undefined,
    taker(({ payload }, message) => kept.push({ text: payload, message: { ...message } })),
  );
  await triggers.flush();
  for (let at = 0; at < 2_000; at++) sender.publish("k", String(at).repeat((at % 300) + 1));
  await sender.flush();
  await until(() => kept.length === 2_000);
  for (const { text, message } of kept) {
    assert.equal(message.bytes.toString("latin1", message.payloadStart, message.payloadEnd), text);
  }
  await sender.close();
  await connection.close();
});

function withHeader(name: string, value: string): ReturnType<typeof headers> {
  const made = headers();
  made.set(name, value);
  return made;
}

async function statusOf(connection: NatsConnection, type: string): Promise<void> {
  for await (const status of connection.status()) if (status.type === type) return;
}
