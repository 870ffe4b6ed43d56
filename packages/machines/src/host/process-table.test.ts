import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { suite, test } from "node:test";
import { signalProcess } from "./kill.ts";
import {
  hasProcessTable,
  isAlive,
  readProcess,
  readProcessTable,
  SharedProcessTable,
} from "./process-table.ts";

suite("process table", { skip: !hasProcessTable }, () => {
  test("readProcessTable contains this process with its parent and paths", () => {
    const entry = readProcessTable().get(process.pid) ?? assert.fail("Not found");
    assert.equal(entry.parentPid, process.ppid);
    assert.deepEqual(entry.places(), [process.execPath, process.cwd()]);
    assert.ok(isAlive(entry));
  });

  test("readProcess parses a process name with brackets and spaces", async () => {
    const child = spawn("sh", ["-c", 'printf ") R 1 (" > /proc/self/comm; echo ready; read line'], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    await once(child.stdout, "data");
    assert.equal(readProcess(child.pid ?? 0)?.parentPid, process.pid);
    child.stdin.end();
    await once(child, "exit");
    assert.equal(readProcess(child.pid ?? 0), undefined);
  });

  test("signalProcess does not signal a process with another start time", async () => {
    const child = spawn("cat");
    const entry = readProcess(child.pid ?? 0) ?? assert.fail("Not found");
    signalProcess({ pid: entry.pid, startTicks: entry.startTicks + 1 }, "SIGKILL");
    child.stdin.end();
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });

  test("SharedProcessTable reads once for all callers in one turn", async () => {
    const shared = new SharedProcessTable();
    const [one, other] = await Promise.all([shared.read(), shared.read()]);
    assert.equal(one, other);
    assert.notEqual(await shared.read(), one);
    const now = shared.ofThisTurn();
    assert.equal(shared.ofThisTurn(), now);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    assert.notEqual(shared.ofThisTurn(), now);
  });
});
