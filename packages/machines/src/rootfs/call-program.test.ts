import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { callProgram } from "./call-program.ts";
import { listenProgram } from "./guest-programs.ts";

const number = { read: 0, write: 1, close: 3, socket: 41 } as const;
const badDescriptor = 99;
const runs = process.platform === "linux" && process.arch === "x64";

/** Runs a program. */
function run(program: Buffer, args: string[] = [], input = ""): { status: number | null; stdout: string } {
  const directory = mkdtempSync(join(tmpdir(), "nex-calls-"));
  try {
    const path = join(directory, "program");
    writeFileSync(path, program, { mode: 0o755 });
    const { status, stdout } = spawnSync(path, args, { input, encoding: "latin1", env: { GIVEN: "yes" } });
    return { status, stdout };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

suite("callProgram", { skip: !runs && "its programs are for Linux on x64" }, () => {
  test("does its calls in order, with numbers, bytes and memory to spare", () => {
    const hello = Buffer.from("hello ");
    const program = callProgram(
      [
        { number: number.write, args: [1, hello, hello.length] },
        { number: number.read, args: [0, { spareOffset: 5 }, 3] },
        { number: number.write, args: [1, { spareOffset: 6 }, 2] },
      ],
      "exit",
    );
    assert.deepEqual(run(program, [], "abc"), { status: 0, stdout: "hello bc" });
  });

  test("ends with the place of the first call that fails", () => {
    const text = Buffer.from("x");
    const program = callProgram(
      [
        { number: number.write, args: [1, text, 1] },
        { number: number.close, args: [badDescriptor] },
        { number: number.write, args: [1, text, 1] },
      ],
      "exit",
    );
    assert.deepEqual(run(program), { status: 2, stdout: "x" });
  });

  test("becomes the program of its arguments, with its environment and what it has opened", () => {
    const unixFamily = 1;
    const program = callProgram([{ number: number.socket, args: [unixFamily, 1, 0] }], "execute");
    const script = 'echo "$0 $1 $GIVEN"; test -S /proc/self/fd/3 && echo socket';
    const { status, stdout } = run(program, ["/bin/sh", "-c", script, "zero", "one two"]);
    assert.deepEqual({ status, stdout }, { status: 0, stdout: "zero one two yes\nsocket\n" });
    assert.equal(run(program, ["/does/not/exist"]).status, 2);
  });
});

test("listenProgram is small", () => {
  assert.ok(listenProgram().length < 1_024);
});
