/** `nex devrun` of services: one that does not stay up, one that replaces another, and ports that only one can have. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  type Compiled,
  probeService,
  startTestNexus,
  type TestNexus,
  unmetSandboxRequirement,
} from "@nexengine/testing";
import { type Ended, NexHome } from "./support/nex.ts";

const home = new NexHome();
const probe = await probeService();
const skip = probe === undefined ? "no compiler here builds static executables" : false;
const { path } = probe ?? ({ path: "" } as Compiled);
after(() => home[Symbol.dispose]());

async function idsOf(nexus: TestNexus, name: string): Promise<string[]> {
  return (await nexus.client.workloadDetails(name)).map(({ id }) => id);
}

describe("a service that does not stay up", { skip }, () => {
  let nexus: TestNexus;
  before(async () => {
    nexus = await startTestNexus();
  });
  after(() => nexus[Symbol.asyncDispose]());

  const devrun = (name: string, argv: string, ...more: string[]): Promise<Ended> =>
    home.run(["devrun", path, "--name", name, "--argv", argv, "-s", nexus.server.url, ...more]);

  test("is told with its status and its last lines, and the previous copy runs on", async () => {
    const good = await devrun("dies", "out good wait", "--json");
    assert.equal(good.status, 0, good.stderr);
    const { id } = JSON.parse(good.stdout);
    const bad = await devrun("dies", "out first err no-such-table exit 3");
    assert.equal(bad.status, 8);
    assert.equal(bad.stdout, "");
    assert.match(bad.stderr, /Error: Service "dies" ended with status 3 right after its start/);
    assert.match(bad.stderr, /Last lines of "dies":\n {4}first\n {4}no-such-table\n/);
    assert.match(bad.stderr, new RegExp(`The previous copy runs on: ${id}`));
    assert.deepEqual(await idsOf(nexus, "dies"), [id]);
    const next = await devrun("dies", "wait");
    assert.equal(next.status, 0, next.stderr);
    assert.match(next.stderr, new RegExp(`Replaced the previous copy ${id}`));
    assert.equal((await idsOf(nexus, "dies")).length, 1);
  });

  test("is told when a signal ends it, and when status 0 does", async () => {
    const signal = await devrun("killed", "signal 9");
    assert.equal(signal.status, 8);
    assert.match(signal.stderr, /Service "killed" was ended by SIGKILL right after its start/);
    const done = await devrun("done", "exit 0");
    assert.equal(done.status, 8);
    assert.match(done.stderr, /Service "done" ended with status 0 right after its start/);
  });

  test("is told when its node starts it again; beside a copy that works it is stopped", async () => {
    const alone = await devrun("again", "exit 4", "--essential");
    assert.equal(alone.status, 8);
    assert.match(alone.stderr, /Service "again" ended with status 4 right after its start/);
    assert.match(alone.stderr, /Its node starts it again; stop it with: .*nex stop again -s nats:/);
    assert.equal((await home.run(["stop", "again", "-s", nexus.server.url])).status, 0);
    const good = await devrun("again", "wait", "--json");
    const { id } = JSON.parse(good.stdout);
    const beside = await devrun("again", "exit 4", "--restart", "always");
    assert.equal(beside.status, 8);
    assert.match(beside.stderr, /The previous copy runs on/);
    assert.deepEqual(await idsOf(nexus, "again"), [id]);
  });

  test("counts as started without a wait when --settle says 0s", async () => {
    const ended = await devrun("quick", "sleep 300 exit 3", "--settle", "0s");
    assert.equal(ended.status, 0, ended.stderr);
  });
});

describe("names and hints", () => {
  test("names that differ in case are two workloads, for devrun and stop as for the node", async () => {
    await using nexus = await startTestNexus();
    const file = home.write("fn.js", "() => 1;");
    const s = ["-s", nexus.server.url];
    for (const name of ["echo", "Echo"]) {
      const ended = await home.run(["devrun", file, "--name", name, ...s]);
      assert.equal(ended.status, 0, ended.stderr);
      assert.doesNotMatch(ended.stderr, /Replaced/);
    }
    assert.equal((await home.run(["stop", "ECHO", ...s])).status, 4);
    assert.equal((await home.run(["node", "probe", "--workload", "ECHO", ...s])).stdout, "");
    assert.equal((await home.run(["stop", "Echo", ...s])).status, 0);
    assert.equal((await nexus.client.workloadDetails()).length, 1);
  });

  test("hints can be pasted: they name server and namespace, are quoted, and name a subject that can be called", async () => {
    await using nexus = await startTestNexus();
    const file = home.write("fn.js", "(subject) => subject;");
    const url = nexus.server.url;
    const args = [
      "devrun",
      file,
      "--trigger",
      "a'b.*.>",
      "--namespace",
      "team $1",
      "--name",
      "hint",
      "-s",
      url,
    ];
    const refused = await home.run(args);
    assert.equal(refused.status, 5, "a namespace with a space");
    const ended = await home.run(args.map((arg) => (arg === "team $1" ? "te'am" : arg)));
    assert.equal(ended.status, 0, ended.stderr);
    const hints = [...ended.stdout.matchAll(/(?:Call|Stop) it: {2}(.*)/g)].map(([, command = ""]) => command);
    assert.equal(hints.length, 2);
    const { execFile } = await import("node:child_process");
    const { promisify } = await import("node:util");
    const shell = (command: string) =>
      promisify(execFile)("sh", ["-c", command], {
        env: { PATH: process.env["PATH"], HOME: home.path },
        cwd: new URL("..", import.meta.url),
      });
    assert.equal((await shell(hints[0] ?? "")).stdout, '"a\'b.example.example"');
    assert.match((await shell(hints[1] ?? "")).stdout, /stopped/);
  });

  test("hints leave out what the environment says anyway", async () => {
    await using nexus = await startTestNexus();
    const file = home.write("fn.js", "(subject) => subject;");
    const env = { NATS_URL: nexus.server.url, NEX_NAMESPACE: "team" };
    const { stdout } = await home.run(["devrun", file], { env });
    assert.match(stdout, /Stop it: {2}\S*nex stop fn\n/);
  });
});

const noContainers = (await unmetSandboxRequirement("container")) ?? false;

describe("a fixed port of the host", { skip: skip || noContainers }, () => {
  test("goes from a copy to the next, which says so; when that fails, it says that the old one is gone", async () => {
    await using nexus = await startTestNexus({ sandbox: "container" });
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const devrun = (argv: string): Promise<Ended> =>
      home.run([
        ...["devrun", path, "--name", "web", "--argv", argv, "--publish", `${port}:80`],
        ...["-s", nexus.server.url, "--json"],
      ]);
    const first = await devrun("wait");
    assert.equal(first.status, 0, first.stderr);
    const { id } = JSON.parse(first.stdout);
    const second = await devrun("out next wait");
    assert.equal(second.status, 0, second.stderr);
    assert.match(second.stderr, new RegExp(`Stopping the previous copy ${id} first: it holds port ${port}`));
    const { id: next, published } = JSON.parse(second.stdout);
    assert.equal(published[0].host_port, port);
    assert.deepEqual(await idsOf(nexus, "web"), [next]);
    const bad = await devrun("exit 5");
    assert.equal(bad.status, 8);
    assert.match(bad.stderr, new RegExp(`The previous copy is gone: ${next}`));
    assert.deepEqual(await idsOf(nexus, "web"), []);
  });
});
