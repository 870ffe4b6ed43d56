/** Commands that can't do what they were asked: one clear line, no stack, and the right exit status. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import {
  compileC,
  echoFunctionPath,
  probeService,
  startTestNexus,
  type TestNexus,
  unmetSandboxRequirement,
} from "@nexengine/testing";
import { type Ended, NexHome, nexPath } from "./support/nex.ts";

const home = new NexHome();
let nexus: TestNexus;
let url = "";

before(async () => {
  nexus = await startTestNexus({ config: { tags: { node_name: "first-node", gpu: "yes" } } });
  ({ url } = nexus.server);
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const run = (args: readonly string[], options: Parameters<NexHome["run"]>[1] = {}): Promise<Ended> =>
  home.run([...args, "-s", url], options);

/** One line for the error, one for the advice at most, and no place in a source. */
function assertClear({ stderr }: Ended, pattern: RegExp): void {
  const lines = stderr.trimEnd().split("\n");
  const errors = lines.filter((line) => line.startsWith("Error:"));
  assert.equal(errors.length, 1, stderr);
  assert.match(errors[0] ?? "", pattern);
  assert.doesNotMatch(stderr, /\n\s+at |nex\.mjs|node:/);
}

describe("results that can't be written", () => {
  test("on a full disk are told in one line", { skip: !existsSync("/dev/full") }, async () => {
    const full = openSync("/dev/full", "w");
    for (const args of [
      ["keys", "new", "account"],
      ["node", "ls", "--json", "-s", url],
    ]) {
      const child = spawn(process.execPath, [nexPath, ...args], { stdio: ["ignore", full, "pipe"] });
      let stderr = "";
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        stderr += text;
      });
      await once(child, "close");
      assert.equal(child.exitCode, 1);
      assertClear({ status: 1, stdout: "", stderr }, /^Error: Cannot write the results: ENOSPC/);
    }
  });

  test("because their reader has gone end the command as SIGPIPE would, without a word", async () => {
    const script = `(sleep 0.3; '${process.execPath}' '${nexPath}' node ls --json -s ${url}; echo "status $?" >&2) | true`;
    const child = spawn("bash", ["-c", script], { stdio: ["ignore", "pipe", "pipe"] });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    await once(child, "close");
    assert.equal(stderr, "status 141\n");
  });
});

describe("wrong usage", () => {
  const cases: readonly (readonly [
    what: string,
    args: readonly string[],
    status: number,
    pattern: RegExp,
  ])[] = [
    [
      "a replica too many",
      ["devrun", echoFunctionPath, "--replicas", "65"],
      2,
      /replicas is 65, and must be from 1 to 64/,
    ],
    [
      "a call too many",
      ["devrun", echoFunctionPath, "--concurrency", "1025"],
      2,
      /concurrency is 1025, and must be from 1 to 1024/,
    ],
    [
      "a name that is too long",
      ["devrun", echoFunctionPath, "--name", "a".repeat(129)],
      5,
      /has 129 characters, at most 128/,
    ],
    [
      "arguments given twice",
      ["devrun", echoFunctionPath, "--argv", "a", "--", "b"],
      2,
      /both from --argv and after --/,
    ],
    [
      "a configuration that is not there",
      ["preflight", "--config", "/nowhere.json"],
      4,
      /configuration file "\/nowhere\.json": there is no such file/,
    ],
    ["a node that is not there", ["logs", "--node", "nobody"], 4, /there is no node of this id or name/],
  ];
  for (const [what, args, status, pattern] of cases) {
    test(what, async () => {
      const at = args.indexOf("--");
      const ended = await home.run(
        at < 0 ? [...args, "-s", url] : [...args.slice(0, at), "-s", url, ...args.slice(at)],
      );
      assert.equal(ended.status, status, ended.stderr);
      assertClear(ended, pattern);
    });
  }

  test("a port that is none", async () => {
    for (const port of ["abc", "70000", "-1", "1e3"]) {
      const ended = await home.run(["up", `--port=${port}`]);
      assert.equal(ended.status, 2);
      assert.match(ended.stderr, /^error: option '--port <n>'.*A port is a number from 0 to 65535/);
    }
  });

  test("a URL that is no NATS server's", async () => {
    for (const scheme of ["http", "foo", "ws"]) {
      const ended = await home.run(["node", "ls", "-s", url.replace("nats", scheme)]);
      assert.equal(ended.status, 2);
      assertClear(ended, /Cannot connect to "\w+:\/\/127/);
    }
  });

  test("--tlsfirst on a server without TLS", async () => {
    const ended = await run(["node", "ls", "--tlsfirst"]);
    assert.equal(ended.status, 3);
    assertClear(ended, /it does not start with TLS, as --tlsfirst requires/);
  });
});

describe("key files", () => {
  test("are there whole or not at all, and an empty one is named with what to do", async () => {
    using own = new NexHome();
    await own.run(["devrun", echoFunctionPath, "-s", url, "--name", "keys"]);
    const folder = join(own.path, ".nex");
    assert.deepEqual(readdirSync(folder).sort(), ["issuer.nk", "publisher.xk"]);
    assert.equal(statSync(join(folder, "issuer.nk")).mode & 0o777, 0o600);
    const issuer = join(folder, "issuer.nk");
    writeFileSync(issuer, "");
    const ended = await own.run(["devrun", echoFunctionPath, "-s", url]);
    assert.equal(ended.status, 2);
    assertClear(ended, /Cannot use the issuer key ".*issuer\.nk": the file is empty, as after a full disk/);
    assert.match(ended.stderr, /rm \S+issuer\.nk/);
    assert.equal(readFileSync(issuer, "utf8"), "");
  });

  test("that others can read get a warning, and are used", async () => {
    const file = home.write("open.nk", createKey("account").seed);
    for (const [mode, warned] of [
      [0o644, true],
      [0o600, false],
    ] as const) {
      chmodSync(file, mode);
      const { stderr } = await run(["stop", "nobody", "--issuer", file]);
      assert.equal(
        /Others on this host may read the issuer key ".*open\.nk"; .*chmod 600/.test(stderr),
        warned,
      );
    }
  });

  const openFiles: [what: string, args: (path: string) => string[]][] = [
    ["the file of --hs_seed", (path) => ["devrun", echoFunctionPath, "--hs_seed", path]],
    ["the file of --trigger_seed", (path) => ["devrun", echoFunctionPath, "--trigger_seed", path]],
    ["the credentials file", (path) => ["devrun", echoFunctionPath, "--trigger_creds", path]],
    ["the credentials file", (path) => ["node", "ls", "--creds", path]],
    ["the nkey file", (path) => ["node", "ls", "--nkey", path]],
    ["the TLS key", (path) => ["node", "ls", "--tlskey", path, "--tlscert", "/dev/null"]],
    ["the context's credentials file", (creds) => ["node", "ls", "--context", contextOf({ creds })]],
    ["the context's nkey file", (nkey) => ["node", "ls", "--context", contextOf({ nkey })]],
    ["the TLS key", (key) => ["node", "ls", "--context", contextOf({ key, cert: "/dev/null" })]],
  ];
  const contextOf = (content: object): string => {
    home.write(".config/nats/context/open.json", content);
    return "open";
  };
  for (const [at, [what, args]] of openFiles.entries()) {
    test(`that others can read get a warning, also ${what}, by ${args("").find((word) => word.startsWith("--"))}`, async () => {
      const file = home.write(`open-${at}`, createKey("user").seed);
      const warned = async (mode: number): Promise<boolean> => {
        chmodSync(file, mode);
        const { stderr } = await run(args(file));
        return stderr.includes(`Others on this host may read ${what} "${file}"`);
      };
      assert.equal(await warned(0o644), true);
      assert.equal(await warned(0o600), false);
    });
  }

  test("are whole or not there when a write ends early", async () => {
    const key = home.write("account.nk", createKey("account").seed);
    chmodSync(key, 0o600);
    const file = join(home.path, "short.creds");
    // A file may have 512 bytes, so that the first write is a short one, which is no error.
    const command = `ulimit -f 1; exec "${process.execPath}" "${nexPath}" keys tenant "${file}" --key "${key}"`;
    const { status, stderr } = spawnSync("sh", ["-c", command], {
      encoding: "utf8",
      env: { HOME: home.path },
    });
    assert.notEqual(status, 0);
    assertClear({ status, stdout: "", stderr }, /^Error: Cannot write the credentials .*EFBIG/);
    assert.ok(!readdirSync(home.path).some((name) => name.startsWith("short.creds")));
  });

  test("are never made in the working directory when HOME is empty", async () => {
    using place = new NexHome();
    const ended = await home.run(["keys", "new", "account"], { env: { HOME: "" }, cwd: place.path });
    assert.equal(ended.status, 0);
    await home.run(["stop", "nobody", "-s", url], { env: { HOME: "" }, cwd: place.path });
    assert.deepEqual(readdirSync(place.path), []);
  });
});

describe("files that can't be deployed", () => {
  test("a script is told as one, whatever it is called", async () => {
    const cases = [
      [
        "run.sh",
        "#!/bin/sh\necho hi\n",
        /it is a shell script for \/bin\/sh, and machines have no interpreter/,
      ],
      ["tool", "#!/usr/bin/env python3\n", /it is a script for \/usr\/bin\/env python3/],
    ] as const;
    for (const [name, text, pattern] of cases) {
      for (const more of [[], ["--type", "native"]]) {
        const ended = await run(["devrun", home.write(name, text), ...more]);
        assert.equal(ended.status, 5);
        assertClear(ended, pattern);
      }
    }
  });

  test("an executable for ARM is told as such, and which processors there are is a command away", async (t) => {
    const probe = await probeService();
    if (probe === undefined || process.arch !== "x64") return t.skip("it needs a static executable for x64");
    const bytes = readFileSync(probe.path);
    bytes.writeUInt16LE(0xb7, 18);
    writeFileSync(join(home.path, "arm64"), bytes);
    const ended = await run(["devrun", join(home.path, "arm64")]);
    assert.equal(ended.status, 6);
    assert.match(ended.stderr, /Next: {2}The executable is built for ARM \(linux\/arm64\)/);
    bytes.writeUInt16LE(0x28, 18);
    bytes[4] = 1;
    writeFileSync(join(home.path, "arm32"), bytes);
    assertClear(
      await run(["devrun", join(home.path, "arm32")]),
      /a 32-bit ELF file, built for ARM \(32-bit\)/,
    );
  });
});

describe("what a command may be told", () => {
  test("run takes a node by its name or the beginning of its id, logs too", async () => {
    const issuer = home.write("run.nk", createKey("account").seed);
    const xkey = home.write("run.xk", createKey("curve").seed);
    for (const [at, node] of ["first-node", nexus.node.id.slice(0, 12)].entries()) {
      const ended = await run([
        ...["run", echoFunctionPath, node, "A=b", "--issuer", issuer, "--xkey", xkey],
        ...["--name", `run${at}`, "--trigger", `run${at}`],
      ]);
      assert.equal(ended.status, 0, ended.stderr);
    }
    const unknown = await run([
      "run",
      echoFunctionPath,
      "nobody",
      "--issuer",
      issuer,
      "--xkey",
      xkey,
      "--name",
      "x",
    ]);
    assert.equal(unknown.status, 4);
    const watch = home.start(["logs", "--node", "first", "-s", url]);
    await watch.shows(/Ctrl-C ends|Error/);
    assert.match((await watch.interrupt()).stderr, /there is no node of this id or name/);
    await using named = home.start(["logs", "--node", "first-node", "-s", url]);
    await named.shows(/Ctrl-C ends/);
  });

  test("arguments with spaces stand after --, and variables come from a file too", async (t) => {
    const probe = await probeService();
    if (probe === undefined) return t.skip("no compiler here builds static executables");
    const file = home.write("some.env", "# comment\nFROM_FILE='two words'\nBOTH=file\n");
    await using watch = home.start(["logs", "args", "--count", "8", "-s", url]);
    await watch.shows(/Ctrl-C ends/);
    const ended = await home.run([
      ...["devrun", probe.path, "BOTH=line", "--name", "args", "--env-file", file, "-s", url],
      ...["--", "out", "two words --json", "env", "wait"],
    ]);
    assert.equal(ended.status, 0, ended.stderr);
    await watch.shows(/end of environment/);
    assert.match(watch.stdout, /args two words --json\n/);
    assert.match(watch.stdout, /args FROM_FILE=two words\n/);
    assert.match(watch.stdout, /args BOTH=line\n/);
  });

  test("tags choose the node", async () => {
    const ok = await run([
      "devrun",
      echoFunctionPath,
      "--name",
      "tagged",
      "--tags",
      "gpu=yes,node_name=first-node",
    ]);
    assert.equal(ok.status, 0, ok.stderr);
    const none = await run(["devrun", echoFunctionPath, "--name", "tagged", "--tags", "gpu=no"]);
    assert.equal(none.status, 6);
    assertClear(none, /1 lacks the tag gpu=no/);
  });

  test("help shows no option that does nothing, and such an option is told", async () => {
    for (const args of [["node", "up"], ["preflight"]]) {
      const { stdout } = await home.run([...args, "--help"]);
      assert.doesNotMatch(stdout, /does nothing|otel|verbose|cni/);
    }
    const config = home.write("process.json", { sandbox: "process" });
    const { stderr } = await home.run(["preflight", "--check", "--verify", "--json", "--config", config]);
    assert.match(stderr, /this version does not act on --verify/);
  });
});

const noContainers = (await unmetSandboxRequirement("container")) ?? false;

describe("limits of a machine", { skip: noContainers }, () => {
  test("an artifact that does not fit is told before its upload, memory that is not there at once, want of memory after", async (t) => {
    await using inContainers = await startTestNexus({ sandbox: "container" });
    const source = home.write(
      "eat.c",
      "#include <stdlib.h>\n#include <string.h>\nint main(void) { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }\n",
    );
    const built = await compileC(source);
    if (built === undefined) return t.skip("no compiler here builds static executables");
    const s = ["-s", inContainers.server.url];
    const big = join(home.path, "big");
    const bytes = readFileSync(built.path);
    writeFileSync(big, Buffer.concat([bytes, Buffer.alloc(300_000_000 - bytes.length)]));
    const large = await home.run(["devrun", big, ...s]);
    assert.equal(large.status, 5);
    assertClear(large, /its artifact has 300000000 bytes, its machine's disk 268435456/);
    assert.match(large.stderr, /--disk 358MiB/);
    assert.ok(!(await bucketNames(inContainers)).includes("OBJ_NEXCLIFILES"));
    const memory = await home.run(["devrun", built.path, "--memory", "900TiB", ...s]);
    assert.equal(memory.status, 6);
    assertClear(memory, /gives? .*|accepts/);
    const eaten = await home.run([
      "devrun",
      built.path,
      "--name",
      "eat",
      "--memory",
      "96MiB",
      "--settle",
      "10s",
      ...s,
    ]);
    assert.equal(eaten.status, 8);
    assertClear(eaten, /Service "eat" ran out of memory right after its start/);
    assert.match(eaten.stderr, /Next: {2}give it more with: --memory SIZE/);
    const ended = await inContainers.client.endedWorkloads();
    assert.deepEqual(
      ended.map(({ code, reason }) => [code, reason]),
      [[-1, "out of memory"]],
    );
    assert.match((await home.run(["ps", "--all", ...s])).stdout, /eat .*out of memory/);
  });
});

/** Names of the streams that there are. */
async function bucketNames({ client }: TestNexus): Promise<string[]> {
  const reply = await client.call("$JS.API.STREAM.NAMES", "{}");
  return JSON.parse(Buffer.from(reply.data).toString()).streams ?? [];
}
