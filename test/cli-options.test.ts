/** Options of nodes and deploys: loggers, pid file, warnings of the configuration, JetStream domains, names. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { nodeLogSubject } from "@nexengine/protocol/subjects";
import type { NatsServer } from "@nexengine/provision";
import { echoFunctionPath, startTestNatsServer, startTestNexus } from "@nexengine/testing";
import { type Ended, NexHome, type RunningNex, type RunOptions, until } from "./support/nex.ts";

const home = new NexHome();
let server: NatsServer;

before(async () => {
  server = await startTestNatsServer({ config: "jetstream { domain: hub }\ntrace: true" });
});
after(async () => {
  await server.stop();
  home[Symbol.dispose]();
});

const run = (args: readonly string[], options: RunOptions = {}): Promise<Ended> =>
  home.run([...args, "-s", server.url], options);

/** Starts a node, and waits until it runs. */
async function startNode(
  args: readonly string[],
  options: RunOptions = {},
  shows = /node runs/,
): Promise<RunningNex> {
  const node = home.start(["node", "up", "--sandbox", "process", "-s", server.url, ...args], options);
  await node.shows(shows);
  return node;
}

describe("the log of a node", () => {
  test("is text of one form on the standard error", async () => {
    await using node = await startNode([]);
    assert.match(node.stderr, /^\[INF\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d - node runs node=N\w{55} tags=\{/m);
    assert.ok(!node.stderr.includes("\x1b"));
    assert.equal(node.stdout, "");
  });

  test("is coloured with --logcolor, in the time format that is named", async () => {
    await using node = await startNode(["--logcolor", "--timeformat", "RFC822"]);
    const shown = node.stderr.replaceAll("\x1b", "ESC");
    assert.match(shown, /\[ESC\[32mINFESC\[39m\] \d\d [A-Z][a-z]{2} \d\d \d\d:\d\d \S+ - /);
  });

  test("is JSON with --logjson or its variable, which may say false", async () => {
    for (const [args, value] of [
      [["--logjson"], ""],
      [[], "true"],
    ] as const) {
      await using node = await startNode(args, { env: { NEX_LOGJSON: value } });
      const line = node.stderr.split("\n").find((text) => text.includes("node runs")) ?? "";
      const { level, time, message, attrs } = JSON.parse(line);
      assert.deepEqual([level, message, typeof attrs.node], ["INFO", "node runs", "string"]);
      assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
    }
    for (const [args, value] of [
      [[], "false"],
      [["--no-logjson"], "1"],
    ] as const) {
      await using node = await startNode(args, { env: { NEX_LOGJSON: value } });
      assert.match(node.stderr, /^\[INF\]/m);
    }
  });

  test("goes to nex.log and nex.err with --logger file, and to the standard error no more", async () => {
    const cwd = join(home.write("logs/.keep", ""), "..");
    await using node = await startNode(["--logger", "file"], { cwd }, /NOT isolated/);
    assert.doesNotMatch(node.stderr, /\[INF\]/);
    assert.match(readFileSync(join(cwd, "nex.log"), "utf8"), /^\[INF\] .* - node runs/m);
    assert.equal(readFileSync(join(cwd, "nex.err"), "utf8"), "");
    await node.interrupt();
    assert.match(readFileSync(join(cwd, "nex.log"), "utf8"), /node stopped/);
  });

  test("goes to NATS with --logger nats, from the first line to the last, and may go elsewhere too", async () => {
    await using nexus = await startTestNexus();
    const lines: string[] = [];
    nexus.client.connection.subscribe(nodeLogSubject("*", "stdout"), {
      callback: (_, message) => {
        lines.push(`${message.subject.split(".")[3]} ${message.string()}`);
      },
    });
    await nexus.client.flush();
    const args = ["--logger", "nats", "--logger", "std", "-s", nexus.server.url];
    await using node = home.start(["node", "up", "--sandbox", "process", ...args]);
    await node.shows(/node runs/);
    const id = /node=(N\w+)/.exec(node.stderr)?.[1];
    await until(() => lines.length > 0);
    assert.equal((await node.interrupt()).status, 0);
    await nexus.client.flush();
    assert.ok(
      lines.some((line) => line.startsWith(`${id} [INF] `) && line.includes("node runs")),
      lines.join("\n"),
    );
    assert.ok(
      lines.some((line) => line.includes("node stopped")),
      lines.join("\n"),
    );
  });

  test("is silent with --loglevel none, and refuses what it does not know", async () => {
    await using node = await startNode(["--loglevel", "none"], {}, /NOT isolated/);
    assert.doesNotMatch(node.stderr, /\[/);
    assert.equal((await run(["ps", "--logger", "syslog"])).status, 2);
    assert.equal((await run(["ps", "--timeformat", "ISO"])).status, 2);
    assert.equal((await run(["ps"], { env: { NEX_LOGLEVEL: "loud" } })).status, 2);
  });
});

describe("a reader that goes away", () => {
  test("ends a command without a word, and a node without what it leaves", async () => {
    const command = home.start(["keys", "new", "account"]);
    command.child.stdout?.destroy();
    assert.doesNotMatch((await command.ended()).stderr, /EPIPE|at /);
    await using node = await startNode([]);
    node.child.stderr?.destroy();
    const listed = await run(["node", "ls", "--json"]);
    assert.equal(JSON.parse(listed.stdout).length, 1, "it goes on");
    assert.equal((await node.interrupt()).status, 0);
  });
});

describe("the configuration of a node", () => {
  test("is ./config.json where none is named, and keys that do nothing are named in the log", async () => {
    const keys = { tags: { node_name: "configured" }, no_sandbox: true, node_limit: {}, otel_metrics: true };
    const cwd = join(home.write("configured/config.json", keys), "..");
    await using node = await startNode(["--metrics", "--metrics_port", "1"], { cwd });
    assert.match(node.stderr, /\[INF\] .* - configuration read file=config\.json/);
    assert.match(
      node.stderr,
      /\[WRN\] .* - unknown configuration key "node_limit"; did you mean "node_limits"\?/,
    );
    assert.match(
      node.stderr,
      /\[WRN\] .* - this version does not act on the configuration key "otel_metrics"/,
    );
    assert.match(node.stderr, /\[WRN\] .* - this version does not act on --metrics_port/);
    assert.match(node.stderr, /"node_name":"configured"/);
  });

  test("refuses the start for namespaces that could mean none or all, and for a connection without its file", async () => {
    for (const [namespaces, reason] of [
      [{}, /namespaces: names no namespace/],
      [{ acme: { connection: { creds: "absent.creds" } } }, /namespaces\.acme\.connection: .*absent\.creds/],
    ] as const) {
      const config = home.write("strict.json", { namespaces });
      const refused = await run(["node", "up", "--sandbox", "process", "--config", config]);
      assert.equal(refused.status, 2, refused.stderr);
      assert.match(refused.stderr, reason);
    }
  });

  test("names a pid file, which is there while the node runs and keeps a second one away", async () => {
    const pid = join(home.path, "nex.pid");
    const config = home.write("pid.json", { pid_filepath: pid });
    writeFileSync(pid, "4194304999\n");
    await using node = await startNode(["--config", config]);
    assert.equal(readFileSync(pid, "utf8"), `${node.child.pid}\n`);
    const second = await run(["node", "up", "--sandbox", "process", "--config", config]);
    assert.equal(second.status, 5);
    assert.match(second.stderr, new RegExp(`node process already running; pid: ${node.child.pid}`));
    assert.equal(readFileSync(pid, "utf8"), `${node.child.pid}\n`);
    await node.interrupt();
    assert.ok(!existsSync(pid));
  });
});

describe("a deploy", () => {
  test("uploads into the JetStream domain that --jsdomain or the context names", async () => {
    await using node = await startNode([]);
    const viaFlag = await run(["devrun", echoFunctionPath, "--jsdomain", "hub", "--json"]);
    assert.equal(viaFlag.status, 0, viaFlag.stderr + node.stderr);
    const wrong = await run(["devrun", echoFunctionPath, "--jsdomain", "elsewhere"]);
    assert.equal(wrong.status, 5, wrong.stderr);
    home.write(".config/nats/context/hub.json", { url: server.url, jetstream_domain: "elsewhere" });
    assert.equal((await home.run(["devrun", echoFunctionPath, "--context", "hub"])).status, 5);
    assert.equal(
      (await home.run(["devrun", echoFunctionPath, "--context", "hub", "--jsdomain", "hub"])).status,
      0,
    );
  });

  test("takes secrets of a function's connections from files only, and shows none", async () => {
    using empty = new NexHome();
    const { seed } = createKey("user");
    const cases: [string[], number][] = [
      [["--hs_seed", seed], 2],
      [["--trigger_jwt", "eyJhunter2.hunter2"], 2],
      [["--hs_url", "nats://hunter2@127.0.0.1"], 2],
      [["--trigger_seed", "hunter2"], 4],
      [["--hs_creds", echoFunctionPath], 2],
    ];
    for (const [args, status] of cases) {
      const refused = await empty.run(["devrun", echoFunctionPath, ...args, "-s", server.url]);
      assert.equal(refused.status, status, refused.stderr);
      assert.ok(!refused.stderr.includes("hunter2") && !refused.stderr.includes(seed), refused.stderr);
    }
  });

  test("takes --stop and --no-stop, --essential and --no-essential", async () => {
    await using node = await startNode([]);
    const deploy = async (...args: string[]): Promise<string> => {
      const ended = await run(["devrun", echoFunctionPath, "--name", "kept", "--jsdomain", "hub", ...args]);
      assert.equal(ended.status, 0, ended.stderr + node.stderr);
      return ended.stderr;
    };
    const copies = async (): Promise<number> =>
      JSON.parse((await run(["node", "probe", "--workload", "kept", "--json"])).stdout).length;
    await deploy("--no-essential");
    assert.doesNotMatch(await deploy("--no-stop"), /Replaced/);
    assert.equal(await copies(), 2);
    assert.match(await deploy("--stop"), /Replaced the previous copy/);
    assert.equal(await copies(), 1);
  });
});

test("a connection has the name that --conn-name gives, else that of nex and its version", async () => {
  await run(["node", "ls", "--conn-name", "my-shell"]);
  await run(["node", "ls"]);
  const trace = readFileSync(server.logPath, "utf8");
  assert.match(trace, /"name":"my-shell"/);
  assert.match(trace, /"name":"nex-\d+\.\d+\.\d+"/);
});
