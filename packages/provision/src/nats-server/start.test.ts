import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { defaultCacheDirectory } from "../cache.ts";
import { findNatsServer, type NatsServerBinary } from "./find.ts";
import { startNatsServer } from "./start.ts";

const goneWaitMs = 5_000;
const gonePollMs = 20;
let binary: NatsServerBinary;
let temporary: string;

before(async () => {
  temporary = await mkdtemp(join(tmpdir(), "nex-start-"));
  const found = await findNatsServer({ cacheDirectory: defaultCacheDirectory() });
  assert.ok(found, "a nats-server is needed: npm test fetches one");
  binary = found;
  // So that what is left behind can be told from what other tests are using.
  process.env.TMPDIR = temporary;
});
after(() => rm(temporary, { recursive: true, force: true }));

/** The first words of a server to a client. */
async function greeting(port: number): Promise<string> {
  const socket = connectTcp(port, "127.0.0.1");
  const [data] = await once(socket, "data");
  socket.destroy();
  return String(data);
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  for (const deadline = Date.now() + goneWaitMs; runs(pid); ) {
    assert.ok(Date.now() < deadline, `process ${pid} is still there`);
    await delay(gonePollMs);
  }
}

test("startNatsServer gives a server that greets clients, and stop takes it and its directory away", async () => {
  const server = await startNatsServer({ binary });
  assert.equal(server.url, `nats://127.0.0.1:${server.port}`);
  assert.match(await greeting(server.port), /^INFO .*"jetstream":true/);
  const directory = dirname(dirname(server.logPath));
  assert.ok(existsSync(directory));
  await server.stop();
  await server.stop();
  assert.equal((await server.exited).signal, null, "it was not killed");
  assert.equal(runs(server.pid), false);
  assert.equal(existsSync(directory), false);
});

test("startNatsServer without JetStream, with more configuration", async () => {
  await using server = await startNatsServer({ binary, jetstream: false, config: 'server_name: "hugo"' });
  const info = await greeting(server.port);
  assert.match(info, /"server_name":"hugo"/);
  assert.doesNotMatch(info, /"jetstream":true/);
});

test("startNatsServer keeps a store directory that was given", async (context) => {
  const storeDirectory = await mkdtemp(join(tmpdir(), "nex-store-"));
  context.after(() => rm(storeDirectory, { recursive: true, force: true }));
  await (await startNatsServer({ binary, storeDirectory })).stop();
  assert.deepEqual((await readdir(storeDirectory)).sort(), ["jetstream", "nats-server.log"]);
});

test("restart keeps the port, after a kill too, and is refused after stop", async () => {
  const server = await startNatsServer({ binary });
  const { port, pid, url } = server;
  await server.restart();
  assert.notEqual(server.pid, pid);
  const secondPid = server.pid;
  await server.kill();
  assert.equal(runs(secondPid), false);
  assert.equal((await server.exited).signal, "SIGKILL");
  await server.restart();
  assert.deepEqual([server.port, server.url], [port, url]);
  assert.match(await greeting(port), /^INFO /);
  await server.stop();
  await assert.rejects(server.restart(), { code: "nats_server_failed", message: /it has been stopped/ });
});

test("startNatsServer shows the end of the log when the server does not come up", async () => {
  await assert.rejects(startNatsServer({ binary, config: "no_such_option: 1" }), {
    code: "nats_server_failed",
    message: /Cannot start nats-server .*: it ended with 1; its log ends with\n.*no_such_option/s,
  });
  assert.deepEqual(await readdir(temporary), [], "nothing is left behind");
});

test("startNatsServer says that the port is taken", async () => {
  await using server = await startNatsServer({ binary });
  await assert.rejects(startNatsServer({ binary, port: server.port }), {
    code: "nats_server_port_taken",
    message: `Cannot start nats-server: port ${server.port} belongs to another program; choose another port, or 0 for a free one`,
  });
});

test("startNatsServer refuses a server that is not ready in time, and ends it", async () => {
  const path = join(temporary, "sleeper");
  await writeFile(path, "#!/bin/sh\necho $$\nexec sleep 60\n", { mode: 0o755 });
  const starting = startNatsServer({ binary: { path }, readyTimeoutMs: 300 });
  await assert.rejects(starting, (error: Error) => {
    const pid = /it was not ready after 300 ms; its log ends with\n(\d+)$/.exec(error.message)?.[1];
    assert.ok(pid, error.message);
    assert.equal(runs(Number(pid)), false);
    return true;
  });
});

test("a signal calls the start off, and stops the server later", async () => {
  const aborted = startNatsServer({ binary, signal: AbortSignal.abort() });
  await assert.rejects(aborted, { message: /the start was called off/ });
  const controller = new AbortController();
  const server = await startNatsServer({ binary, signal: controller.signal });
  controller.abort();
  await server.exited;
  await server.stop();
});

for (const [how, ending] of [
  ["ends without a word to it", "process.exit(0)"],
  ["is killed", 'process.kill(process.pid, "SIGKILL")'],
] as const) {
  const skip = how === "is killed" && process.platform !== "linux";
  test(`the server does not outlive a process that ${how}`, { skip }, async () => {
    const program = `
      const { startNatsServer } = await import(${JSON.stringify(new URL("start.ts", import.meta.url).href)});
      const server = await startNatsServer({ binary: { path: ${JSON.stringify(binary.path)} } });
      process.stdout.write(String(server.pid), () => ${ending});`;
    const child = spawn(
      process.execPath,
      ["--conditions=nex-src", "--input-type=module", "--eval", program],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await once(child, "close");
    await gone(Number(output));
  });
}

test("a process that has nothing else to do waits for the end of a server that must be killed", async () => {
  const program = `
    const { startNatsServer } = await import(${JSON.stringify(new URL("start.ts", import.meta.url).href)});
    const binary = { path: ${JSON.stringify(binary.path)} };
    const server = await startNatsServer({ binary, stopGraceMs: 50 });
    process.kill(server.pid, "SIGSTOP");
    await server.stop();
    console.log("stopped");`;
  const args = ["--conditions=nex-src", "--input-type=module", "--eval", program];
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
    assert.deepEqual([output, code], ["stopped\n", 0]);
  }
});

test("the log of the server is where logPath says", async () => {
  await using server = await startNatsServer({ binary });
  assert.match(await readFile(server.logPath, "utf8"), /Server is ready/);
});
