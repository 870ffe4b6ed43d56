import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { breakOff, FrameConnection, Relay } from "@nexengine/protocol/agent";
import { probe } from "./relay-probe.ts";

/** The node's relay, to an agent whose one port is served as the test says. */
async function bench(serve: (socket: Socket) => void) {
  const stack = new AsyncDisposableStack();
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const relays: Relay[] = [];
  for (const [at, channel] of duplexPair().entries()) {
    const connection = new FrameConnection(channel, {
      frame: (type, _flags, id, payload) => void relays[at]?.take(type, id, payload),
      end: () => relays[at]?.close(),
    });
    stack.defer(() => connection.close());
    relays.push(
      new Relay(connection, {
        side: at === 0 ? "node" : "agent",
        accept: (target) =>
          target === 0 ? connect({ host: "127.0.0.1", port, allowHalfOpen: true }) : undefined,
        abort: (socket) => breakOff(socket as Socket),
      }),
    );
  }
  const [node, agent] = relays as [Relay, Relay];
  return { node, agent, server, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const never = new AbortController().signal;

test("probe finds a port open, ends its connection cleanly, and leaves no stream", async () => {
  const ends: string[] = [];
  await using open = await bench((socket) => {
    socket.on("end", () => ends.push("end")).on("error", () => ends.push("error"));
    socket.on("end", () => socket.end()).resume();
  });
  assert.equal(await probe(open.node, 0, never), "open");
  while (open.node.streamCount > 0) await new Promise(setImmediate);
  assert.deepEqual(ends, ["end"]);
});

test("probe finds a port open that closes at once, or speaks first", async () => {
  for (const serve of [(socket: Socket) => socket.end(), (socket: Socket) => socket.end("220 ready\r\n")]) {
    await using open = await bench((socket) => void serve(socket).on("error", () => undefined));
    assert.equal(await probe(open.node, 0, never), "open");
  }
});

test("probe waits a bounded time for the other side to end, and leaves no stream then", async () => {
  await using open = await bench((socket) => void socket.on("error", () => undefined).resume());
  assert.equal(await probe(open.node, 0, never), "open");
  while (open.node.streamCount + open.agent.streamCount > 0)
    await new Promise((resolve) => setTimeout(resolve, 10));
});

test("probe finds a port closed that nobody serves", async () => {
  await using closed = await bench(() => undefined);
  assert.equal(await probe(closed.node, 1, never), "closed");
  closed.server.close();
  await once(closed.server, "close");
  assert.equal(await probe(closed.node, 0, never), "closed");
  assert.equal(closed.node.streamCount, 0);
});

test("probe ends with its signal, and leaves no stream", async () => {
  const [ours] = duplexPair();
  const relay = new Relay(new FrameConnection(ours, { frame: () => undefined, end: () => undefined }), {
    side: "node",
    accept: () => undefined,
    abort: (socket) => void socket.destroy(),
  });
  const ending = new AbortController();
  const probing = probe(relay, 0, ending.signal);
  assert.equal(relay.streamCount, 1);
  ending.abort();
  assert.equal(await probing, "closed");
  assert.equal(relay.streamCount, 0);
  assert.equal(await probe(relay, 0, AbortSignal.abort()), "closed");
});
