import assert from "node:assert/strict";
import { type StdioOptions, spawn } from "node:child_process";
import fs, { closeSync, openSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { text } from "node:stream/consumers";
import { mock, suite, test } from "node:test";
import { actMs, within } from "@nexengine/testing/internal";
import { hasProcessTable } from "../host/process-table.ts";
import { runOnce } from "../testing/run-once.ts";

const leakedFd = 39;

/** Lists the descriptors of a machine whose host was started with an open file. */
async function listUnderLeak(): Promise<string> {
  const script = `const { runOnce } = await import(${JSON.stringify(new URL("../testing/run-once.ts", import.meta.url).href)});
    process.stdout.write((await runOnce(["ls", "-l", "/proc/self/fd"])).console);`;
  const leaked = openSync("/etc/passwd", "r");
  const stdio: StdioOptions = Array(leakedFd).fill("ignore");
  stdio.splice(1, 2, "pipe", "inherit");
  stdio.push(leaked);
  const host = spawn(process.execPath, [...process.execArgv, "--input-type=module", "-e", script], { stdio });
  closeSync(leaked);
  return await within(text(host.stdout ?? assert.fail("No output")), actMs, "the list");
}

suite("the program of a process machine", { skip: !hasProcessTable }, () => {
  test("inherits descriptors 0 to 4, and no other descriptor of this process", async () => {
    const listed = await listUnderLeak();
    const links = [...listed.matchAll(/ (\d+) -> (.*)$/gm)].map(([, fd, target]) => ({
      fd: Number(fd),
      target,
    }));
    assert.deepEqual(links.flatMap(({ fd }) => (fd < 5 ? [fd] : [])).sort(), [0, 1, 2, 3, 4]);
    const others = links.filter(({ fd, target = "" }) => fd > 4 && !/^\/proc\/\d+\/fd$/.test(target));
    assert.ok(
      others.some(({ fd }) => fd === leakedFd),
      listed,
    );
    for (const { target } of others) assert.equal(target, "/dev/null");
  });

  test("is started without scanning descriptors that this process opened later", async () => {
    await runOnce(["true"]);
    const read = mock.method(fs, "readFileSync");
    syncBuiltinESMExports();
    const open = Array.from({ length: 400 }, () => openSync("/dev/null", "r"));
    try {
      await runOnce(["true"]);
      const looks = read.mock.calls.filter(({ arguments: [path] }) => String(path).includes("fdinfo"));
      assert.ok(looks.length < 20, `${looks.length} descriptors were looked at`);
    } finally {
      for (const fd of open) closeSync(fd);
      read.mock.restore();
      syncBuiltinESMExports();
    }
  });

  test("gets an empty environment (S10)", async () => {
    assert.equal((await runOnce(["env"])).console, "");
  });

  test("runs in the machine's directory", async () => {
    assert.match((await runOnce(["readlink", "/proc/self/cwd"])).console, /nex-contract-\w+\n$/);
  });

  test("leads its own session", async () => {
    const { console } = await runOnce(["sh", "-c", "cat /proc/$$/stat"]);
    const [pid, , , , group, session] = console.split(" ");
    assert.deepEqual([group, session], [pid, pid]);
  });
});

test("standard input of a process machine is empty", async () => {
  const { reason, code, console } = await runOnce(["cat"]);
  assert.deepEqual({ reason, code, console }, { reason: "exited", code: 0, console: "" });
});

test("standard output and standard error of a process machine both reach its console", async () => {
  const { console } = await runOnce(["sh", "-c", "echo to output; echo to errors >&2"]);
  assert.match(console, /to output/);
  assert.match(console, /to errors/);
});
