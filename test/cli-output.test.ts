/** Commands print others' text without a control character that a terminal acts on, and tables fit. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { NexError } from "@nexengine/protocol/errors";
import { probeService, startTestNatsServer, startTestNexus, type TestNexus } from "@nexengine/testing";
import { startScriptedNode } from "../packages/client/src/testing/scripted-node.ts";
import { NexHome, nexPath } from "./support/nex.ts";

const home = new NexHome();
const probe = await probeService();
const noProbe = probe === undefined ? "no compiler here builds static executables" : false;
let nexus: TestNexus;
/** Sets a title, clears the screen, rings; C1's CSI and DEL, which JSON leaves as they are; turns text around. */
const hostile = "\x1b]0;title\x07\x1b[2J\u009b31m\u007f\u202eevil\tend";
const shown = "\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\x7f\\u202eevil\tend";
const dangerous = /[^\P{Cc}\t\n]|\u202e/u;

before(async () => {
  nexus = await startTestNexus({ config: { tags: { node_name: `node${hostile}` } } });
  const source = `(subject, payload) => {
    const text = ${JSON.stringify(hostile)};
    console.log(text + "\\nsecond line");
    if (payload.length > 0) throw new Error(text);
    return new TextEncoder().encode(text);
  }`;
  await nexus.function(source, { name: "echo", description: `about${hostile}` });
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const run = (args: readonly string[]) => home.run([...args, "-s", nexus.server.url]);

describe("control characters of others are shown, not obeyed", () => {
  for (const args of [
    ["ps"],
    ["ps", "--full"],
    ["node", "ls"],
    ["node", "ls", "--full"],
    ["node", "probe"],
  ]) {
    test(`nex ${args.join(" ")}`, async () => {
      const { status, stdout, stderr } = await run(args);
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stdout, dangerous);
      assert.ok(stdout.includes(shown.split("\t")[0] ?? ""), stdout);
      const json = await run([...args, "--json"]);
      assert.doesNotMatch(json.stdout, dangerous);
      assert.ok(JSON.stringify(JSON.parse(json.stdout)).includes(JSON.stringify(hostile).slice(1, -1)));
    });
  }

  test("nex node info", async () => {
    const { stdout } = await run(["node", "info", nexus.node.id]);
    assert.doesNotMatch(stdout, dangerous);
    assert.match(stdout, /about\\x1b/);
  });

  for (const [json, lines] of [
    [false, 2],
    [true, 1],
  ] as const) {
    test(`nex logs${json ? " --json" : ", whose further lines are indented"}`, async () => {
      await using watch = home.start([
        ...["logs", "echo", "--count", "1", "-s", nexus.server.url],
        ...(json ? ["--json"] : []),
      ]);
      await watch.shows(/Ctrl-C ends/);
      await nexus.call("echo");
      const { stdout } = await watch.ended();
      assert.doesNotMatch(stdout, dangerous);
      assert.equal(stdout.trimEnd().split("\n").length, lines);
      if (!json) assert.ok(stdout.endsWith(`echo ${shown}\n    second line\n`), stdout);
      else assert.equal(JSON.parse(stdout).text.trimEnd(), `${hostile}\nsecond line`);
    });
  }

  test("nex events, and the error of a call", async () => {
    await using watch = home.start(["events", "-s", nexus.server.url]);
    await watch.shows(/Ctrl-C ends/);
    const failed = await run(["request", "echo", "please throw"]);
    assert.equal(failed.status, 8);
    assert.doesNotMatch(failed.stderr, dangerous);
    await watch.shows(/function_exec_failed/);
    assert.doesNotMatch(watch.stdout, dangerous);
    assert.match(watch.stdout, /\\x1b\[2J/);
  });

  test("a refusal of a node", async () => {
    const file = home.write("bad.js", `throw new Error(${JSON.stringify(hostile)})`);
    const { status, stderr } = await run(["devrun", file]);
    assert.notEqual(status, 0);
    assert.doesNotMatch(stderr, dangerous);
    assert.match(stderr, /title/);
  });

  test("a reply goes to a program as it is", async () => {
    assert.equal((await run(["request", "echo"])).stdout, hostile);
  });
});

/** A node that gives a hostile name and hostile ids in each of its answers. */
describe("a node's name and ids of workloads", () => {
  test("nex devrun of a function shows them, in its hints and notes too", async () => {
    await using server = await startTestNatsServer();
    const id = `old${hostile}`;
    const workload = { name: "fn", type: "v8" };
    await using node = await startScriptedNode(server.url, {
      info: () => ({
        machines: [
          { id, workload },
          { id: `${id}2`, workload },
        ],
      }),
      deploy: () => ({ id: `new${hostile}`, name: `fn${hostile}` }),
    });
    const file = home.write("fn.js", "() => 1;");
    const { status, stdout, stderr } = await home.run(["devrun", file, "-s", server.url]);
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stdout + stderr, dangerous);
    assert.ok(stdout.includes(`Stop it:  `) && stdout.includes(`stop 'fn${shown}'`), stdout);
    assert.ok(stderr.includes(`Replaced the previous copy old${shown}\n`), stderr);
    assert.ok(stderr.includes(`Replaced the previous copy old${shown}2\n`), stderr);
    assert.equal(node.stops.length, 1);
  });

  test("nex devrun shows the id of a copy that holds its port", { skip: noProbe }, async () => {
    await using server = await startTestNatsServer();
    let deploys = 0;
    const published = [{ machine_port: 80, host: "127.0.0.1", host_port: 8080 }];
    await using node = await startScriptedNode(server.url, {
      info: () => ({
        machines: [
          { id: `old${hostile}`, workload: { name: "web", type: "native" }, nex: { version: 1, published } },
        ],
      }),
      deploy: () =>
        deploys++ === 0
          ? new NexError("port_taken", `taken${hostile}`)
          : { id: `new${hostile}`, name: "web" },
    });
    const args = ["devrun", probe?.path ?? "", "--name", "web", "--publish", "8080:80", "--settle", "0s"];
    const { status, stdout, stderr } = await home.run([...args, "-s", server.url]);
    assert.equal(status, 8, stderr);
    assert.doesNotMatch(stdout + stderr, dangerous);
    assert.ok(stderr.includes(`Stopping the previous copy old${shown} first`), stderr);
    assert.equal(node.stops.length, 1);
  });
});

describe("on a terminal", { skip: !existsSync("/usr/bin/script") }, () => {
  /** Runs a command on a terminal of some columns. @returns what it would show. */
  async function onTerminal(columns: number, args: string): Promise<string> {
    const command = `stty cols ${columns} && '${process.execPath}' '${nexPath}' ${args} -s ${nexus.server.url}`;
    const { PATH } = process.env;
    const env = { PATH, HOME: home.path, NO_COLOR: "1", TERM: "xterm" };
    return (await promisify(execFile)("script", ["-qec", command, "/dev/null"], { env })).stdout;
  }

  test("a reply of a function can't act either", async () => {
    const text = await onTerminal(80, "request echo");
    assert.ok(text.includes(shown), text);
    assert.doesNotMatch(text.replaceAll("\r\n", "\n"), dangerous);
  });

  test("ps has no line that is longer than 80 columns, and shortens names before ids", async () => {
    const name = `a-name-that-is-${"long-".repeat(10)}indeed`;
    const { id } = await nexus.function("() => 1;", { name });
    const lines = (await onTerminal(80, "ps")).trimEnd().split(/\r?\n/);
    for (const line of lines) assert.ok([...line].length <= 80, line);
    assert.ok(
      lines.some((line) => line.includes(id) && line.includes("…")),
      lines.join("\n"),
    );
    assert.match((await run(["ps"])).stdout, new RegExp(name));
  });
});

test("ps has at most 80 columns without a terminal, for a name of usual length", async () => {
  await using plain = await startTestNexus();
  await plain.function("() => 1;", { name: "echo" });
  const { stdout } = await home.run(["ps", "-s", plain.server.url]);
  for (const line of stdout.split("\n")) assert.ok([...line].length <= 80, line);
});
