/** Every Node that runs something of Nex computes right results: this one, the pinned one, and that of each machine. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, describe, test } from "node:test";
import { promisify } from "node:util";
import { repairFlag } from "@nexengine/protocol/node-runtime";
import { startTestNatsServer, startTestNexus, unmetSandboxRequirement } from "@nexengine/testing";
import { NexHome } from "./support/nex.ts";

const root = join(import.meta.dirname, "..");
const programsPath = join(import.meta.dirname, "fixtures/number-programs.js");
const pinnedNode = join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
const timeoutMs = 60_000;
/** Further Nodes to try, as paths with colons between them. */
const otherNodes = (process.env["NEX_TEST_NODES"] ?? "").split(delimiter).filter((path) => path !== "");

/** The answers of the interpreter (`node --jitless`), which does not optimize. */
const right = {
  "a captured counter beside a typed array": "5852186 2000000",
  "a counter two closures deep": "3669812 1000001",
  "a generator": "-1201484471 600000",
  "try, catch and finally": "-699017817 400002",
  "a float": "444470549444.625 1000001.25",
  "an Int32 that overflows into a float": "3750270 2147483270",
  "an unsigned hash": "127495904 187904793",
  "a BigInt": "1500088 525853",
  "a reader with two positions": "503963911 300000 43751",
  "a decoder of lengths": "66685393 1000006",
};

const runPrograms = `
const source = require("node:fs").readFileSync(process.argv[1], "utf8");
console.log(JSON.stringify(require("node:vm").runInThisContext(source)()));`;

async function answersOf(node: string, flags: readonly string[]): Promise<unknown> {
  const args = [...flags, "-e", runPrograms, programsPath];
  const { stdout } = await promisify(execFile)(node, args, { timeout: timeoutMs, env: {} });
  return JSON.parse(stdout);
}

async function versionOf(node: string): Promise<string> {
  const { stdout } = await promisify(execFile)(node, ["-p", "process.versions.node"], { env: {} });
  return stdout.trim();
}

test("the Node of this run computes right results, from the interpreter to optimized code", async () => {
  assert.deepEqual(await answersOf(process.execPath, []), right);
  assert.deepEqual(await answersOf(process.execPath, ["--jitless"]), right);
});

test("the pinned Node computes right results, and needs no option for it", {
  skip: !existsSync(pinnedNode),
}, async () => {
  assert.equal(repairFlag(await versionOf(pinnedNode)), undefined);
  assert.deepEqual(await answersOf(pinnedNode, []), right);
});

for (const node of otherNodes) {
  test(`${node} computes right results with the option that its version needs`, async () => {
    const flag = repairFlag(await versionOf(node));
    assert.deepEqual(await answersOf(node, flag === undefined ? [] : [flag]), right);
  });
}

test("the first script judges a Node by the same rule as the command line and the agent", () => {
  const script = readFileSync(join(root, "tools/bootstrap.mjs"), "utf8");
  const from = /^const wrongFromMajor = (\d+);$/m.exec(script)?.[1];
  const flag = /^const repairFlag = "(\S+)";$/m.exec(script)?.[1];
  assert.equal(repairFlag(`${from}.0.0`), flag);
  assert.equal(repairFlag(`${Number(from) - 1}.99.0`), undefined);
});

describe("on a Node that computes wrong results", () => {
  const home = new NexHome();
  after(() => home[Symbol.dispose]());
  const version = home.write(
    "version.cjs",
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "26.10.0" } });',
  );
  const env = { NODE_OPTIONS: `--require "${version}"` };
  const note = /^(?:.*Warning: )?Node 26\.10\.0 computes wrong results .*--no-function-context-cells/gm;

  test("the command line repairs it, and says so once", async () => {
    await using server = await startTestNatsServer();
    const { status, stdout, stderr } = await home.run(["node", "ls", "--json", "-s", server.url], { env });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "[]\n");
    assert.equal(stderr.match(note)?.length, 1, stderr);
  });

  test("the command line says nothing where the option was given, or is not needed", async () => {
    const flag = home.write("flag.cjs", 'process.execArgv.push("--no-function-context-cells");');
    const given = { NODE_OPTIONS: `--require "${version}" --require "${flag}"` };
    for (const options of [{ env: given }, {}])
      assert.equal((await home.run(["--version"], options)).stderr, "");
  });

  for (const [what, where, given] of [
    ["connectNex", "client", '{ servers: ["nats://127.0.0.1:1"], timeoutMs: 100 }'],
    ["startNode", "node", '{ directory: "/dev/null/none" }'],
  ]) {
    test(`${what} repairs it in a program, and warns once`, async () => {
      const program = `import { ${what} } from "@nexengine/${where}";
        for (let at = 0; at < 2; at++) await ${what}(${given}).catch(() => undefined);`;
      const args = ["--conditions=nex-src", "--input-type=module", "-e", program];
      const { stderr } = await promisify(execFile)(process.execPath, args, { cwd: root, env });
      assert.equal(stderr.match(note)?.length, 1, stderr);
      assert.match(stderr, /NEX_RUNTIME_REPAIRED/);
    });
  }
});

for (const sandbox of ["process", "container"] as const) {
  const unmet = await unmetSandboxRequirement(sandbox);
  test(
    `functions compute right results (${sandbox})`,
    unmet === undefined ? {} : { skip: unmet },
    async () => {
      await using nexus = await startTestNexus({ sandbox });
      await nexus.deploy(
        { path: programsPath },
        { name: "numbers", type: "v8", triggerSubjects: ["numbers"] },
      );
      const reply = await nexus.client.call("numbers", "", { timeoutMs });
      assert.deepEqual(JSON.parse(Buffer.from(reply.data).toString()), right);
    },
  );
}
