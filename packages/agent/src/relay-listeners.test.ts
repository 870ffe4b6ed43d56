import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import { listenForRelay } from "./relay-listeners.ts";

/** A port that nobody listens at. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("listenForRelay hands over what connects, with the target of its place", async () => {
  const port = await freePort();
  const places = [1, 2].map((target) => ({ address: `127.0.0.${target}`, port, target }));
  assert.deepEqual(await listenForRelay(places, (socket, target) => void socket.end(`target ${target}`)), []);
  for (const { address, target } of places) {
    const [data] = await once(connect(port, address), "data");
    assert.equal(String(data), `target ${target}`);
  }
});

test("listenForRelay says which places can't be had, and listens at the others", async () => {
  const port = await freePort();
  const places = [
    { address: "127.0.0.1", port, target: 0 },
    { address: "127.0.0.1", port, target: 1 },
    { address: "192.0.2.1", port, target: 2 },
  ];
  const failures = await listenForRelay(places, (socket, target) => void socket.end(`target ${target}`));
  assert.equal(failures.length, 2);
  assert.match(
    failures[0] ?? "",
    new RegExp(`^Nothing can be relayed from 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
  );
  assert.match(failures[1] ?? "", new RegExp(`^Nothing can be relayed from 192\\.0\\.2\\.1:${port}: `));
  const [data] = await once(connect(port, "127.0.0.1"), "data");
  assert.equal(String(data), "target 0");
});

test("listenForRelay lets a connection end one way and go on the other", async () => {
  const port = await freePort();
  await listenForRelay([{ address: "127.0.0.1", port, target: 0 }], (socket) => {
    assert.ok(socket.allowHalfOpen);
    socket.end();
  });
  await once(connect(port, "127.0.0.1").resume(), "end");
});
