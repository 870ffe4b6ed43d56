/** A node and the commands that stay report a NATS server that is lost, and that comes back. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { NatsServer } from "@nexengine/provision";
import { echoFunctionPath, startTestNatsServer, until } from "@nexengine/testing";
import { NexHome } from "./support/nex.ts";

const home = new NexHome();
let server: NatsServer;

before(async () => {
  server = await startTestNatsServer();
});
after(async () => {
  await server.stop();
  home[Symbol.dispose]();
});

test("a node, logs, events and ps --watch tell of the loss and of the return, and go on", async () => {
  const s = ["-s", server.url];
  const state = ["--state-directory", `${home.path}/node`];
  await using node = home.start(["node", "up", "--sandbox", "process", ...state, ...s]);
  await node.shows(/node runs/);
  await using logs = home.start(["logs", ...s]);
  await using events = home.start(["events", ...s]);
  await using ps = home.start(["ps", "--watch", ...s]);
  await Promise.all([logs.shows(/Ctrl-C ends/), events.shows(/Ctrl-C ends/), ps.shows(/No workloads run/)]);
  const watches = [logs, events, ps];
  await server.kill();
  await node.shows(/\[WRN\] .* the connection to NATS was lost; it is tried again server=127/);
  for (const watch of watches) await watch.shows(/The NATS server is lost; trying to connect again/);
  await server.restart();
  await node.shows(/\[INF\] .* the connection to NATS is back/);
  for (const watch of watches) await watch.shows(/Connected to the NATS server again/);
  const deployed = await home.run(["devrun", echoFunctionPath, ...s]);
  assert.equal(deployed.status, 0, deployed.stderr);
  await logs.shows(/Workload echo deployed/);
  await events.shows(/workload_deployed/);
  await ps.shows(/│ echo/);
  for (const watch of watches) {
    const { status, stderr } = await watch.interrupt();
    assert.equal(status, 0, stderr);
    assert.equal(stderr.split("is lost").length, 2, stderr);
  }
});

test("a node keeps the name that it has made up for itself", async () => {
  const s = ["-s", server.url];
  const names: string[] = [];
  for (let at = 0; at < 2; at++) {
    const state = ["--state-directory", `${home.path}/named`];
    await using node = home.start(["node", "up", "--sandbox", "process", ...state, ...s]);
    await node.shows(/node runs/);
    const { stdout } = await home.run(["node", "ls", "--json", ...s]);
    names.push(JSON.parse(stdout)[0].tags.node_name);
    await node.interrupt();
    await until(() => node.child.exitCode !== null);
  }
  assert.match(names[0] ?? "", /^[a-z]+-[a-z]+-[a-z2-7]{4}$/);
  assert.equal(names[1], names[0]);
});

test("nex up whose NATS server has died says so, and its exit status is not 0", async () => {
  await using up = home.start(["up", "--port", "0", "--sandbox", "process"]);
  await up.shows(/Ctrl-C here ends everything/);
  const children = readFileSync(`/proc/${up.child.pid}/task/${up.child.pid}/children`, "utf8")
    .trim()
    .split(" ");
  const serverPid = children.find((pid) => /nats-server/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8")));
  assert.ok(serverPid, `none of ${children.join(", ")} is a NATS server`);
  process.kill(Number(serverPid), "SIGKILL");
  const { status, stderr } = await up.ended();
  assert.equal(status, 3, stderr);
  assert.match(stderr, /The nats-server of "nex up" has ended \(signal SIGKILL\)/);
});
