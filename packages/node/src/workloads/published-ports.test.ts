import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { PublishedPort } from "@nexengine/protocol/messages";
import { PublishedPorts } from "./published-ports.ts";

const host = "127.0.0.1";
const port = (machine_port: number, host_port?: number): PublishedPort => ({
  machine_port,
  protocol: "tcp",
  ...(host_port === undefined ? {} : { host_port }),
});

/** Is anything listening there? */
async function listens(hostPort: number): Promise<boolean> {
  const socket = connect(hostPort, host);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test("PublishedPorts listens for each port, and says which one a connection came to", async () => {
  const carried = (socket: Socket, at: number): void => void socket.end(`port ${at}`);
  await using ports = await PublishedPorts.open([port(80), port(443)], host, carried);
  assert.deepEqual(
    ports.list.map(({ machine_port }) => machine_port),
    [80, 443],
  );
  for (const [at, { host_port }] of ports.list.entries()) {
    const [data] = await once(connect(host_port, host), "data");
    assert.equal(String(data), `port ${at}`);
  }
});

test("PublishedPorts takes the host's port that was named", async () => {
  let free = 0;
  {
    await using found = await PublishedPorts.open([port(80)], host, () => undefined);
    free = found.list[0]?.host_port ?? 0;
  }
  await using ports = await PublishedPorts.open([port(80, free)], host, (socket) => socket.destroy());
  assert.deepEqual(ports.list, [{ machine_port: 80, host, host_port: free }]);
  assert.ok(await listens(free));
});

test("PublishedPorts lets a client end its half and still read", async () => {
  const answer = (socket: Socket): void => {
    // Later than the turn in which a socket without a half of its own would end.
    socket.on("end", () => setTimeout(() => socket.end("after the end"), 20)).resume();
  };
  await using ports = await PublishedPorts.open([port(80)], host, answer);
  const socket = connect({ port: ports.list[0]?.host_port ?? 0, host, allowHalfOpen: true });
  socket.end("x");
  assert.equal(await text(socket), "after the end");
});

test("PublishedPorts refuses a port that is taken, and then listens nowhere", async () => {
  await using other = await PublishedPorts.open([port(80)], host, () => undefined);
  const taken = other.list[0]?.host_port ?? 0;
  let first = 0;
  {
    await using found = await PublishedPorts.open([port(80)], host, () => undefined);
    first = found.list[0]?.host_port ?? 0;
  }
  await assert.rejects(
    PublishedPorts.open([port(80, first), port(81, taken)], host, (socket) => socket.destroy()),
    { code: "port_taken", message: new RegExp(`^Cannot publish port 81 as ${host}:${taken}: .*EADDRINUSE`) },
  );
  assert.equal(await listens(first), false);
});

test("PublishedPorts refuses an address that is not this host's", async () => {
  await assert.rejects(
    PublishedPorts.open([port(80)], "192.0.2.1", () => undefined),
    { code: "port_taken" },
  );
});

test("PublishedPorts listens no more after its end, which waits for connections that their machine ends", async () => {
  const sockets: Socket[] = [];
  const ports = await PublishedPorts.open([port(80)], host, (socket) => sockets.push(socket));
  const { host_port } = ports.list[0] ?? { host_port: 0 };
  const client = connect(host_port, host);
  await once(client, "connect");
  const ended = ports[Symbol.asyncDispose]();
  assert.equal(await listens(host_port), false);
  while (sockets.length === 0) await new Promise(setImmediate);
  for (const socket of sockets) socket.resetAndDestroy();
  await ended;
  await assert.rejects(once(client.resume(), "end"), { code: "ECONNRESET" });
});
