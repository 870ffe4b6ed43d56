import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ProcessEntry } from "./process-table.ts";
import { ResidentProcessTree, SessionProcessTree } from "./process-tree.ts";

const first = { pid: 100, startTicks: 1000 };

/** Builds a process table from pids, start times, parents, sessions (also used as groups) and paths. */
function tableOf(...rows: Partial<ProcessEntry>[]): Map<number, ProcessEntry> {
  const usual = { startTicks: 1000, parentPid: 1, groupId: 1, sessionId: 1, zombie: false, cpuTicks: 0 };
  const entries = rows.map((row) => ({ pid: 0, places: () => ["/"], ...usual, ...row }));
  return new Map(entries.map((entry) => [entry.pid, entry]));
}

function pidsOf(
  processTree: SessionProcessTree | ResidentProcessTree,
  table: Map<number, ProcessEntry>,
): number[] {
  return processTree.members(table).map((member) => member.pid);
}

const guest = { pid: 100, sessionId: 100, groupId: 100 };

suite("SessionProcessTree", () => {
  test("contains the session, the descendants and the residents", () => {
    const table = tableOf(
      guest,
      { pid: 101, parentPid: 100, sessionId: 101 },
      { pid: 102, parentPid: 101, sessionId: 102 },
      { pid: 103, sessionId: 100 },
      { pid: 104, places: () => ["/usr/bin/node", "/run/m/work"] },
      { pid: 105, places: () => ["/run/m/program (deleted)", "/"] },
      { pid: 106, parentPid: 105 },
      { pid: 107, places: () => ["/run/machine"] },
    );
    assert.deepEqual(
      pidsOf(new SessionProcessTree(first, "/run/m"), table).sort(),
      [100, 101, 102, 103, 104, 105, 106],
    );
  });

  test("keeps a related process whose parents have exited", () => {
    const processTree = new SessionProcessTree(first, "/run/m");
    pidsOf(processTree, tableOf(guest, { pid: 101, parentPid: 100, sessionId: 101 }));
    assert.deepEqual(
      pidsOf(processTree, tableOf({ pid: 101, sessionId: 101 }, { pid: 102, parentPid: 101 })),
      [101, 102],
    );
  });

  test("ignores an unrelated process that reuses the pid of a related one", () => {
    const processTree = new SessionProcessTree(first, "/run/m");
    pidsOf(processTree, tableOf(guest, { pid: 101, parentPid: 100, sessionId: 101 }));
    assert.deepEqual(pidsOf(processTree, tableOf({ pid: 101, startTicks: 2000 })), []);
  });

  test("ignores an unrelated session that reuses the session id", () => {
    const processTree = new SessionProcessTree(first, "/run/m");
    pidsOf(processTree, tableOf(guest));
    assert.deepEqual(pidsOf(processTree, tableOf({ pid: 9 })), []);
    assert.deepEqual(pidsOf(processTree, tableOf({ ...guest, startTicks: 3000 })), []);
  });

  test("excludes zombies but contains their children", () => {
    const table = tableOf({ ...guest, zombie: true }, { pid: 101, parentPid: 100 });
    assert.deepEqual(pidsOf(new SessionProcessTree(first, "/run/m"), table), [101]);
  });

  test("ignores a resident that started before the machine", () => {
    const table = tableOf(guest, { pid: 90, startTicks: 900, places: () => ["/run/m"] });
    assert.deepEqual(pidsOf(new SessionProcessTree(first, "/run/m"), table), [100]);
  });
});

suite("ResidentProcessTree", () => {
  test("never contains this process or its ancestors", () => {
    const table = tableOf(
      { pid: process.pid, parentPid: 50, places: () => ["/run/m"] },
      { pid: 50, places: () => ["/run/m"] },
      { pid: 1, parentPid: 0, places: () => ["/run/m"] },
      { pid: 60, parentPid: process.pid, places: () => ["/run/m"] },
    );
    assert.deepEqual(pidsOf(new ResidentProcessTree("/run/m"), table), [60]);
  });
});
