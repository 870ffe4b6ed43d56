import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { actMs, eventually, makeSpec, processesOf, within } from "@nexengine/testing/internal";
import type { Machine } from "../driver.ts";
import { hasProcessTable } from "../host/process-table.ts";
import { ProcessDriver } from "./driver.ts";

/** A machine that runs a shell script, destroyed at the end of its scope. */
class ScriptMachine implements AsyncDisposable {
  readonly machine: Machine;
  readonly directory: string;

  constructor(machine: Machine, directory: string) {
    this.machine = machine;
    this.directory = directory;
  }

  static async boot(script: string): Promise<ScriptMachine> {
    const spec = await makeSpec();
    const machine = await new ProcessDriver({ command: ["sh", "-c", script] }).boot(spec);
    return new ScriptMachine(machine, spec.directory);
  }

  get processes(): string[] {
    return processesOf(this.directory);
  }

  /** Waits until the script has created a file. */
  async made(name: string): Promise<void> {
    await eventually(() => existsSync(join(this.directory, name)), actMs, `the script has made "${name}"`);
  }

  async destroyed(): Promise<void> {
    await within(this.machine.destroy(), actMs, "the destroy");
    await eventually(() => this.processes.length === 0, actMs, "nothing is left");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.destroy();
  }
}

/** Pids of processes with exactly these arguments, anywhere on the host. */
function commands(line: string): number[] {
  return processesOf(line).flatMap((entry) =>
    entry.endsWith(` ${line} `) ? [Number.parseInt(entry, 10)] : [],
  );
}

suite("process machine", { skip: !hasProcessTable }, () => {
  test("exits when its guest is killed, and destroy kills the surviving child", async () => {
    await using script = await ScriptMachine.boot("sleep 1000 & kill -9 $$");
    const { reason } = await within(script.machine.exited, actMs, "the exit");
    assert.equal(reason, "killed");
    assert.equal(script.processes.length, 1);
    assert.equal((await script.machine.usage()).processes, 1);
    await script.destroyed();
  });

  for (const way of ["usage", "stop"] as const) {
    test(`kills an orphan that left the session and directory, once ${way} has seen it`, async () => {
      const mark = `sleep 1${process.pid}.${way.length}`;
      const leave = `cd /; exec setsid sh -c "echo > $here/left; exec ${mark}"`;
      const end = "trap 'exit 0' TERM; until [ -e go ]; do sleep 0.01; done";
      await using script = await ScriptMachine.boot(`here=$PWD; export here; (${leave}) & ${end}`);
      await script.made("left");
      await eventually(() => commands(mark).length === 1, actMs, "the child runs");
      if (way === "usage") {
        await script.machine.usage();
        await writeFile(join(script.directory, "go"), "");
      } else {
        assert.deepEqual(await script.machine.stop(actMs), { forced: false });
        assert.deepEqual(commands(mark), []);
      }
      await within(script.machine.exited, actMs, "the exit");
      await script.destroyed();
      assert.deepEqual(commands(mark), []);
    });
  }

  test("kills processes that keep forking", async () => {
    const each = "f() { : > storm; sleep 0.01; f & wait; }";
    await using script = await ScriptMachine.boot(`${each}; for i in 1 2 3 4 5 6 7 8; do f & done; wait`);
    await script.made("storm");
    await script.destroyed();
  });

  test("kills daemons that keep starting daemons", async () => {
    const each = `export X=': > chain; sleep 0.01; setsid sh -c "$X" & exit 0'`;
    const start = `for i in 1 2 3; do setsid sh -c "$X" & done`;
    await using script = await ScriptMachine.boot(`${each}; ${start}; exec sleep 1000`);
    await script.made("chain");
    await script.destroyed();
  });
});

test("stop asks the guest of a process machine with SIGTERM", async () => {
  const loop = "trap 'echo asked; exit 5' TERM; : > ready; while :; do sleep 0.01; done";
  await using script = await ScriptMachine.boot(loop);
  await script.made("ready");
  await script.machine.stop(actMs);
  const { code, console } = await script.machine.exited;
  assert.deepEqual({ code, console }, { code: 5, console: "asked\n" });
});
