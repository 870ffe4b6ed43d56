import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { createDialer } from "./relay-dial.ts";

/** A server that echoes, and is closed at the end of the block. */
async function echoServer(): Promise<{ port: number; connections: () => number } & AsyncDisposable> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("createDialer dials the target that is named, with both ways to be ended apart", async () => {
  await using server = await echoServer();
  const dial = createDialer([
    { host: "192.0.2.1", port: 1 },
    { host: "127.0.0.1", port: server.port },
  ]);
  const socket = dial(1) as Socket;
  assert.ok(socket.allowHalfOpen);
  socket.end("hello");
  const [reply] = await once(socket, "data");
  assert.equal(String(reply), "hello");
  await once(socket, "close");
});

test("createDialer refuses a target that there is not", () => {
  const dial = createDialer([{ host: "127.0.0.1", port: 1 }]);
  for (const target of [1, 65_535, -1]) assert.equal(dial(target), undefined);
});

test("createDialer lets a socket fail whose server is not there", async () => {
  const gone = await echoServer();
  await gone[Symbol.asyncDispose]();
  const socket = createDialer([{ host: "127.0.0.1", port: gone.port }])(0) as Socket;
  await assert.rejects(once(socket, "connect"), { code: "ECONNREFUSED" });
});

test("createDialer dials so often at once, and then so often a second", () => {
  let nowMs = 1_000;
  const dial = createDialer([{ host: "127.0.0.1", port: 1 }], () => nowMs);
  /** How many of these are dialled. */
  const dialled = (tries: number): number => {
    let count = 0;
    for (let at = 0; at < tries; at++) {
      const socket = dial(0);
      socket?.on("error", () => undefined).destroy();
      if (socket !== undefined) count++;
    }
    return count;
  };
  assert.equal(dialled(5_000), 4_096);
  nowMs += 500;
  assert.equal(dialled(5_000), 128);
  assert.equal(dial(7), undefined);
  nowMs += 3_600_000;
  assert.equal(dialled(5_000), 4_096);
});
