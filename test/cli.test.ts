/** The command line as people run it: real processes, a home of its own. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { echoFunctionPath, echoService, startTestNexus } from "@nexengine/testing";
import { type Ended, NexHome, type RunningNex, type RunOptions } from "./support/nex.ts";

const home = new NexHome();
let url = "";
let daemon: RunningNex;

const nex = (args: readonly string[], options: RunOptions = {}): Promise<Ended> => home.run(args, options);

before(async () => {
  daemon = home.start(["up", "--port", "0", "--sandbox", "process"]);
  await daemon.shows(/Ctrl-C here/);
  url = /NATS\s+(\S+)/.exec(daemon.stdout)?.[1] ?? "";
  assert.match(url, /^nats:/, daemon.stderr);
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

describe("nex up", () => {
  test("says that workloads are not isolated, and is found by other terminals without any option", async () => {
    assert.match(daemon.stderr, /NOT isolated/);
    const nodes = JSON.parse((await nex(["node", "ls", "--json"])).stdout);
    assert.equal(nodes.length, 1);
    assert.equal(nodes[0].tags["nex.sandbox"], "process");
  });

  test("runs once for each home", async () => {
    const second = await nex(["up"]);
    assert.equal(second.status, 5);
    assert.match(second.stderr, /Error: Cannot start: "nex up" runs already as process \d+/);
  });

  test("writes keys that their owner alone can read (S10)", () => {
    for (const name of ["issuer.nk", "up.json"])
      assert.equal(statSync(join(home.path, ".nex", name)).mode & 0o777, 0o600);
  });
});

describe("nex devrun, request, ps and stop", () => {
  test("deploy a function, call it, list it, replace it and stop it", async () => {
    const first = await nex(["devrun", echoFunctionPath, "--json"]);
    assert.equal(first.status, 0, first.stderr);
    const deployment = JSON.parse(first.stdout);
    assert.deepEqual(deployment.triggers, ["default.echo"]);
    assert.equal((await nex(["request", "default.echo", "hello"])).stdout, "hello");
    assert.equal((await nex(["request", "default.echo", "-"], { input: "from stdin" })).stdout, "from stdin");
    const second = await nex(["devrun", echoFunctionPath]);
    assert.match(second.stderr, new RegExp(`Replaced the previous copy ${deployment.id}`));
    assert.match(second.stdout, /Call it:.*request default\.echo/);
    const listed = JSON.parse((await nex(["ps", "--json"])).stdout);
    assert.equal(listed.length, 1);
    assert.notEqual(listed[0].id, deployment.id);
    assert.match((await nex(["ps"])).stdout, /│ echo\s+│/);
    assert.match((await nex(["node", "info", deployment.nodeName])).stdout, /echo/);
    assert.equal((await nex(["stop", listed[0].id])).status, 0);
    assert.match((await nex(["ps"])).stderr, /No workloads run in namespace "default"/);
    const gone = await nex(["request", "default.echo", "hello"]);
    assert.equal(gone.status, 4);
  });

  test("deploy a service with its environment, and show what it writes", async (t) => {
    const service = await echoService();
    if (service === undefined) return t.skip("no compiler here builds static executables");
    const run = await nex([
      "devrun",
      service.path,
      "--name",
      "service",
      `NATS_URL=${url}`,
      "ECHO_SUBJECT=cli.echo",
    ]);
    assert.equal(run.status, 0, run.stderr);
    for (;;) {
      const echoed = await nex(["request", "cli.echo", "hi", "--wait", "1s"]);
      if (echoed.status === 0) {
        assert.equal(echoed.stdout, "hi");
        break;
      }
      assert.equal(echoed.status, 4, echoed.stderr);
    }
    const watch = nex(["logs", "service", "--count", "1"]);
    const pump = setInterval(() => void nex(["request", "cli.echo", "again"]), 300);
    assert.match((await watch).stdout, /INFO\s+service echoed 5 bytes/);
    clearInterval(pump);
    assert.equal((await nex(["stop", "service"])).status, 0);
  });

  test("take TypeScript, and a module that imports another file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nex-cli-files-"));
    try {
      writeFileSync(
        join(folder, "greet.ts"),
        "export const greet = (who: string): string => 'hello ' + who;",
      );
      writeFileSync(
        join(folder, "my main.ts"),
        "import { greet } from './greet.ts';\nexport default (s: string, p: Uint8Array) => greet(new TextDecoder().decode(p));",
      );
      writeFileSync(join(folder, "ref.ts"), "(subject: string): number => subject.length;");
      const run = await nex(["devrun", join(folder, "my main.ts"), "--json"]);
      assert.equal(run.status, 0, run.stderr);
      assert.equal(JSON.parse(run.stdout).name, "my-main");
      assert.equal((await nex(["request", "default.my-main", "you"])).stdout, '"hello you"');
      assert.equal((await nex(["devrun", join(folder, "ref.ts"), "--trigger", "abc"])).status, 0);
      assert.equal((await nex(["request", "abc"])).stdout, "3");
      assert.equal((await nex(["stop", "my-main"])).status, 0);
      assert.equal((await nex(["stop", "ref"])).status, 0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("nex run", () => {
  test("deploys an object of a bucket with named keys, which alone stop it", async () => {
    const issuer = join(home.path, "issuer.seed");
    const xkey = join(home.path, "xkey.seed");
    assert.match((await nex(["keys", "new", "account", issuer])).stdout, /^A[A-Z2-7]{55}\n$/);
    assert.match((await nex(["keys", "new", "curve", xkey])).stdout, /^X/);
    assert.equal((await nex(["keys", "new", "curve", xkey])).status, 2, "a key is never written over");
    const refused = await nex([
      "run",
      echoFunctionPath,
      "--issuer",
      issuer,
      "--xkey",
      xkey,
      "--name",
      "prod",
      "--trigger",
      "prod",
    ]);
    assert.equal(refused.status, 6, "nex up accepts its owner's key only");
    assert.match(refused.stderr, /does not accept this issuer/);
    await using nexus = await startTestNexus();
    const server = ["-s", nexus.server.url];
    const run = await nex([
      "run",
      echoFunctionPath,
      nexus.node.id,
      "--issuer",
      issuer,
      "--xkey",
      xkey,
      "--name",
      "prod",
      "--trigger",
      "prod",
      ...server,
    ]);
    assert.equal(run.status, 0, run.stderr);
    assert.equal((await nex(["request", "prod", "x", ...server])).stdout, "x");
    const stranger = await nex(["stop", "prod", ...server]);
    assert.equal(stranger.status, 5);
    assert.equal(
      (
        await nex([
          "stop",
          nexus.node.id,
          JSON.parse((await nex(["ps", "--json", ...server])).stdout)[0].id,
          "--issuer",
          issuer,
          "--name",
          "prod",
          ...server,
        ])
      ).status,
      0,
    );
  });
});

describe("what goes wrong is said with what to do, and in the exit status (B10)", () => {
  const folder = mkdtempSync(join(tmpdir(), "nex-cli-bad-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  after(() => rmSync(folder, { recursive: true, force: true }));
  const absentRuntime = '{"sandbox": "container", "container": {"runtime": "/absent/runc"}}';
  const cases: [what: string, args: () => string[], status: number, message: RegExp][] = [
    [
      "a missing file",
      () => ["devrun", "nowhere.js"],
      4,
      /Cannot deploy "nowhere.js": there is no such file/,
    ],
    ["a folder", () => ["devrun", folder], 4, /it is a folder/],
    [
      "a file of no known kind",
      () => ["devrun", file("x.txt", "text")],
      5,
      /neither an ELF executable nor JavaScript[\s\S]*--type/,
    ],
    ["an empty file", () => ["devrun", file("empty.js", "")], 5, /it is empty/],
    [
      "a syntax error",
      () => ["devrun", file("bad.js", "(s) => {\n  return ]\n}")],
      5,
      /\(line 2, column 10\)/,
    ],
    ["a dynamic executable", () => ["devrun", process.execPath], 5, /dynamically linked[\s\S]*CGO_ENABLED=0/],
    ["a bad variable", () => ["devrun", echoFunctionPath, "noequals"], 2, /KEY=VALUE/],
    ["a function that throws", () => ["request", "default.thrower"], 8, /Error: boom/],
    [
      "a workload that is not there",
      () => ["stop", "nothing"],
      4,
      /no workload of this name or id[\s\S]*nex ps/,
    ],
    [
      "a node that is not there",
      () => ["node", "info", createKey("node").publicKey],
      4,
      /nobody answers as node/,
    ],
    [
      "a server that is not there",
      () => ["ps", "-s", "nats://127.0.0.1:1"],
      3,
      /connection refused[\s\S]*nex up/,
    ],
    ["an unknown command", () => ["depoly"], 2, /deploy|unknown command/],
    ["an unknown option", () => ["ps", "--jsno"], 2, /Did you mean --json/],
    ["a bad duration", () => ["ps", "--timeout", "soon"], 2, /A duration looks like/],
    ["a namespace that is none", () => ["ps", "--namespace", "a.b"], 5, /Cannot use "a.b" as a namespace/],
    [
      "a sandbox that can't be had",
      () => ["node", "up", "-s", url, "--config", file("r.json", absentRuntime)],
      5,
      /the OCI runtime "\/absent\/runc" is not installed/,
    ],
    [
      "a configuration that is wrong",
      () => ["node", "up", "--config", file("c.json", '{"machine_pool_size":0}')],
      2,
      /machine_pool_size/,
    ],
  ];
  for (const [what, args, status, message] of cases) {
    test(what, async () => {
      if (what === "a function that throws") {
        const thrower = file("thrower.js", "() => { throw new Error('boom') }");
        assert.equal((await nex(["devrun", thrower])).status, 0);
      }
      const ended = await nex(args());
      assert.match(ended.stderr, message);
      assert.equal(ended.status, status, ended.stderr);
      assert.doesNotMatch(ended.stderr, /\n {4}at /, "no stack for people");
    });
  }
});

describe("the end", () => {
  test("Ctrl-C on node up undeploys and leaves nothing", async () => {
    await using nexus = await startTestNexus();
    const folder = mkdtempSync(join(tmpdir(), "nex-cli-node-"));
    await using running = home.start(["node", "up", "--sandbox", "process", "-s", nexus.server.url], {
      env: { TMPDIR: folder },
    });
    await running.shows(/node runs/);
    const node = /node=(N\w+)/.exec(running.stderr)?.[1] ?? "";
    await nexus.function("() => 1", { node, name: "there" });
    await using feed = nexus.client.events();
    await nexus.client.flush();
    assert.equal((await running.interrupt()).status, 0);
    const types: string[] = [];
    for await (const { type, event } of feed) {
      if (event.source?.startsWith(node)) types.push(type);
      if (types.includes("node_stopped")) break;
    }
    assert.deepEqual(types, ["workload_undeployed", "node_stopped"]);
    assert.deepEqual(readdirSync(folder), []);
    rmSync(folder, { recursive: true });
  });

  test("Ctrl-C on up ends the server too, and leaves no state that says it runs", async () => {
    assert.equal((await nex(["devrun", echoFunctionPath])).status, 0);
    const pids = readdirSync("/proc").filter(
      (pid) => /^\d+$/.test(pid) && isAgent(pid) && parentIs(pid, daemon.child.pid),
    );
    assert.ok(pids.length > 0);
    const { status, stderr } = await daemon.interrupt();
    assert.equal(status, 0, stderr);
    assert.match(stderr, /nothing is left running/);
    assert.ok(!existsSync(join(home.path, ".nex", "up.json")));
    for (const pid of pids) assert.ok(!isAgent(pid), `agent ${pid} is gone`);
    assert.equal((await nex(["ps", "-s", url])).status, 3);
  });
});

/** Is this the process of an agent? */
function isAgent(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("agent.mjs");
  } catch {
    return false;
  }
}

function parentIs(pid: string, parent: number | undefined): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
  } catch {
    return false;
  }
}
