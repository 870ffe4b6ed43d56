/** Commands that watch, and commands that look: logs, events, ps --watch, probe, tables, lame duck. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newSigner, startTestNexus, type TestNexus } from "@nexengine/testing";
import { NexHome, type RunningNex } from "./support/nex.ts";

const home = new NexHome();
let nexus: TestNexus;

before(async () => {
  nexus = await startTestNexus({ config: { tags: { node_name: "first-node" } } });
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  home.run([...args, "-s", nexus.server.url], { env });
const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningNex =>
  home.start([...args, "-s", nexus.server.url], { env });

const talker = `(subject) => {
  console.debug("quiet"); console.log("plain"); console.warn("odd"); console.error("bad");
}`;

/** Calls a function until a watch has shown what it waits for. */
async function callUntilEnded(subject: string, watch: RunningNex): Promise<string> {
  while (watch.child.exitCode === null) {
    await nexus.call(subject);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return (await watch.ended()).stdout;
}

describe("nex logs", () => {
  test("shows time, level and workload of each line without any option (B9)", async () => {
    await nexus.function(talker, { name: "talker" });
    await using watch = start(["logs", "--count", "8"]);
    await watch.shows(/Ctrl-C ends/);
    const lines = (await callUntilEnded("talker", watch)).trim().split("\n");
    for (const [level, text] of Object.entries({ DEBUG: "quiet", "INFO ": "plain", "WARN ": "odd" }))
      assert.ok(
        lines.some((line) =>
          new RegExp(`^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d ${level} talker ${text}$`).test(line),
        ),
        `${level} ${text} in ${lines.join("\n")}`,
      );
  });

  test("shows only a level and above, and takes * as everything", async () => {
    await using watch = start([
      ...[
        "logs",
        "--level",
        "warn",
        "--count",
        "4",
        "--node",
        "*",
        "--workload_name",
        "*",
        "--workload_id",
        "*",
      ],
      ...["--timeformat", "RFC3339"],
    ]);
    await watch.shows(/Ctrl-C ends/);
    const lines = (await callUntilEnded("talker", watch)).trim().split("\n");
    assert.equal(lines.length, 4);
    for (const line of lines)
      assert.match(line, /^\d{4}-\d\d-\d\dT\S+(?:Z|[+-]\d\d:\d\d) (?:WARN |ERROR) talker (?:odd|bad)$/);
  });

  test("shows with --since-start only workloads that start from then on", async () => {
    await using watch = start(["logs", "--since-start", "--json", "--count", "8"]);
    await watch.shows(/Ctrl-C ends/);
    await nexus.call("talker");
    await nexus.function(talker, { name: "newcomer" });
    await nexus.call("talker");
    const lines = (await callUntilEnded("newcomer", watch)).trim().split("\n");
    assert.deepEqual([...new Set(lines.map((line) => JSON.parse(line).workloadName))], ["newcomer"]);
  });

  test("ends with Ctrl-C as if nothing had gone wrong", async () => {
    await using watch = start(["logs"]);
    await watch.shows(/Ctrl-C ends/);
    assert.equal((await watch.interrupt()).status, 0);
  });
});

test("nex events writes times as told", async () => {
  await using watch = start(["events", "--count", "1", "--timeformat", "Stamp"]);
  await watch.shows(/Ctrl-C ends/);
  await nexus.function("() => 1", { name: "event" });
  assert.match((await watch.ended()).stdout, /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \w+/);
});

describe("nex ps", () => {
  test("goes on with --watch, and shows each change", async () => {
    await using watch = start(["ps", "--watch", "--json"]);
    const names = (): string[][] =>
      watch.stdout
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line).map(({ workload }: { workload: { name: string } }) => workload.name));
    await watch.shows(/\]\n/);
    assert.ok(!names().at(-1)?.includes("passer"));
    const deployment = await nexus.function("() => 1", { name: "passer" });
    await watch.shows(/passer/);
    // An event that changes nothing of the list, and the time that it takes to look.
    await assert.rejects(nexus.stop(deployment, newSigner()));
    for (const _ of [1, 2]) await nexus.client.workloadDetails();
    await nexus.stop(deployment);
    await watch.shows(/passer[^\n]*\n[^\n]*\]\n/);
    assert.ok(!names().at(-1)?.includes("passer"));
    const { status, stdout } = await watch.interrupt();
    assert.equal(status, 0);
    const looks = names().map((list) => list.join());
    assert.ok(!looks.some((look, at) => look === looks[at - 1]), `a line for each change:\n${stdout}`);
  });

  test("prints a rounded table with a title, without colours where there is no terminal", async () => {
    const { stdout } = await run(["ps"]);
    assert.match(stdout, /^ +Workloads\n╭─[┬─]+╮\n│ Name +│ Id +│/);
    assert.match(stdout, /╰─[┴─]+╯\n$/);
    assert.ok(!stdout.includes("\x1b"));
    assert.ok((await run(["ps"], { FORCE_COLOR: "1" })).stdout.includes("\x1b[1m"));
    assert.ok(!(await run(["ps"], { FORCE_COLOR: "1", NO_COLOR: "1" })).stdout.includes("\x1b"));
  });
});

describe("nex node", () => {
  test("probe finds workloads by name or id, over all nodes", async () => {
    const { id } = await nexus.function("() => 1", { name: "sought" });
    for (const sought of ["sought", id]) {
      const found = JSON.parse((await run(["node", "probe", "--workload", sought, "--json"])).stdout);
      assert.deepEqual(
        found.map((place: { id: string; nodeName: string }) => [place.id, place.nodeName]),
        [[id, "first-node"]],
      );
    }
    assert.match(
      (await run(["node", "probe"])).stdout,
      /Discovered Workloads\n[\s\S]*│ sought +│ v8 +│ default/,
    );
    const none = await run(["node", "probe", "--workload", "nothing", "--timeout", "300ms"]);
    assert.deepEqual([none.status, none.stderr], [0, "No workloads matched\n"]);
  });

  test("ls and info take --full, and info a name or the beginning of an id (B9)", async () => {
    const full = (await run(["node", "ls", "--full"])).stdout;
    assert.match(full, /NATS Execution Nodes/);
    assert.match(full, new RegExp(`│ ${nexus.node.id} +│ first-node .*│ nexus +│.*│ process +│ linux +│`));
    for (const name of ["first-node", nexus.node.id.slice(0, 12), nexus.node.id]) {
      const info = (await run(["node", "info", name, "--full"])).stdout;
      assert.match(info, /NEX Node Information/);
      assert.match(info, new RegExp(`Node +${nexus.node.id}`));
      assert.match(info, /Memory +[\d,]+ kB total/);
      assert.match(info, /│ 🟢 +│ \w{20} │ sought +│.*│ [0-9a-f]{64} │/);
    }
  });

  test("lameduck, also as nex lameduck, ends the taking of workloads", async () => {
    await using other = await startTestNexus({ config: { tags: { node_name: "duck" } } });
    const at = ["-s", other.server.url];
    const first = await home.run(["lameduck", "duck", ...at]);
    assert.equal(first.stdout, `Command to enter lame duck mode issued to ${other.node.id}\n`, first.stderr);
    assert.match((await home.run(["node", "ls", ...at])).stdout, /\S \* +│ duck/);
    const again = await home.run(["node", "lameduck", other.node.id, "--json", ...at]);
    assert.deepEqual(JSON.parse(again.stdout), { node_id: other.node.id, success: true });
    await assert.rejects(other.function("() => 1"), { code: "no_node" });
    const unknown = await home.run(["lameduck", "goose", ...at]);
    assert.equal(unknown.status, 4);
    assert.match(unknown.stderr, /Cannot enter lame duck mode of node "goose": there is no node/);
  });
});
