import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { actMs, eventually, within } from "@nexengine/testing/internal";
import { hasProcessTable, type ProcessIdentity, readProcess } from "./process-table.ts";
import { ExitWatch } from "./watch.ts";

const never = new Promise<void>(() => undefined);

/** Runs with a low descriptor limit, exhausts it, and prints what the module reports about a running process. */
const exhausted = (module: string): string => `
const { isAlive, readProcess, readProcessTable } = await import(${JSON.stringify(new URL("./process-table.ts", module).href)});
const { readExitStatus } = await import(${JSON.stringify(new URL("./exit-status.ts", module).href)});
const { ExitWatch } = await import(${JSON.stringify(new URL("./watch.ts", module).href)});
const fs = await import("node:fs");
const { pid, startTicks } = readProcess(process.ppid);
const open = [];
const codeOf = (act) => { try { act(); return "none"; } catch (error) { return error.code; } };
const code = codeOf(() => { for (;;) open.push(fs.openSync("/dev/null", "r")); });
const identity = { pid, startTicks };
const watch = new ExitWatch();
let ended = false;
void watch.ended(identity, Promise.resolve()).then(() => { ended = true; });
const tried = codeOf(() => readProcess(pid));
const known = [isAlive(identity), readExitStatus(identity) === undefined, tried, codeOf(readProcessTable)];
await new Promise((resolve) => setTimeout(resolve, 300));
for (const fd of open) fs.closeSync(fd);
process.stdout.write(JSON.stringify([code, ...known, ended, isAlive({ pid: 2 ** 22 + 1, startTicks: 1 })]));
process.exit(0);`;

suite("the exit of processes that are not children", { skip: !hasProcessTable }, () => {
  test("is not inferred from an error: without free descriptors, no running process is reported as exited", async () => {
    const args = [...process.execArgv, "--input-type=module", "-e", exhausted(import.meta.url)];
    const child = spawn("sh", ["-c", 'ulimit -n 64; exec "$0" "$@"', process.execPath, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const told: unknown = JSON.parse(await within(text(child.stdout), actMs, "what it knows"));
    assert.deepEqual(told, ["EMFILE", true, true, "EMFILE", "EMFILE", false, false]);
  });

  test("is detected without a hint, and at once with a hint", async () => {
    const watch = new ExitWatch();
    for (const hinted of [false, true]) {
      const parent = spawn("sh", ["-c", "sleep 1000 & echo $!; exec sleep 1000"], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      const [line] = await once(parent.stdout, "data");
      const identity = readProcess(Number(line)) ?? assert.fail("Not found");
      const hint = Promise.withResolvers<void>();
      const ended = watch.ended(identity, hint.promise);
      process.kill(identity.pid, "SIGKILL");
      if (hinted) hint.resolve();
      await within(ended, actMs, "the end");
      parent.kill("SIGKILL");
    }
  });

  test("needs no more checks for 400 processes than for 20, and is still detected", async () => {
    const gone = new Set<number>();
    let looks = 0;
    const watch = new ExitWatch(({ pid }: ProcessIdentity) => {
      looks++;
      return gone.has(pid) ? {} : undefined;
    });
    const looksOf = async (rounds: number): Promise<number> => {
      const before = looks;
      await new Promise((resolve) => setTimeout(resolve, rounds * 100));
      return looks - before;
    };
    const all: Promise<unknown>[] = [];
    const add = (from: number, to: number): void => {
      for (let pid = from; pid < to; pid++) all.push(watch.ended({ pid, startTicks: 1 }, never));
    };
    add(0, 20);
    const few = await looksOf(5);
    add(20, 400);
    const many = await looksOf(5);
    assert.ok(few > 0 && many <= 16 * 7, `${few} looks at 20, ${many} at 400`);
    gone.add(399);
    await within(all[399] ?? never, actMs, "the end of the last one");
    for (let pid = 0; pid < 400; pid++) gone.add(pid);
    await eventually(() => looks > 400, actMs, "they are looked at");
    await within(Promise.all(all), actMs, "all ends");
    assert.equal(await looksOf(3), 0, "nobody is looked at any more");
  });
});
