/** Functions in Wasm that take all there is, reach for what is not theirs, or are no modules. */
import assert from "node:assert/strict";
import { assemble } from "@nexengine/testing";
import type { Check, WasmCase } from "./case.ts";

/** Imports beside the two that every function here has. */
interface Fields {
  imports?: string;
  declarations?: string;
}

/** The outcome is the same on the process driver: it is the agent that holds them. */
function module(
  name: string,
  technique: string,
  outcome: string,
  build: WasmCase["module"],
  check: Check,
): WasmCase {
  return {
    kind: "wasm",
    name,
    technique,
    outcome,
    module: build,
    check,
    onProcess: "held",
    triedOnProcess: true,
  };
}

/** A function that is harmless without a payload. */
function hostile(code: string, { imports = "", declarations = "" }: Fields = {}): WasmCase["module"] {
  return () =>
    assemble(`(module
      (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
      ${imports}
      (memory (export "memory") 1)
      (data (i32.const 1024) "fineheld")
      (func $write (param $fd i32) (param $from i32) (param $size i32)
        (i32.store (i32.const 0) (local.get $from))
        (i32.store (i32.const 4) (local.get $size))
        (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
      (func $fine (call $write (i32.const 1) (i32.const 1024) (i32.const 4)))
      (func $held (call $write (i32.const 1) (i32.const 1028) (i32.const 4)))
      ${declarations}
      (func (export "_start") (local $n i32)
        (i32.store (i32.const 0) (i32.const 2048))
        (i32.store (i32.const 4) (i32.const 1024))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (if (i32.eqz (i32.load (i32.const 8))) (then (call $fine) (return)))
        ${code}))`);
}

/** The call gets an error with one of these codes, and the function answers again afterwards. */
function fails(codes: RegExp, text = /./): Check {
  return async (attack) => {
    attack.demandDeployed();
    await assert.rejects(attack.call("x"), (error: Error & { code: string }) => {
      assert.match(error.code, codes);
      assert.match(error.message, text);
      return true;
    });
    assert.equal(await attack.call(""), "fine");
  };
}

const holds: Check = async (attack) => {
  attack.demandDeployed();
  assert.equal(await attack.call("x"), "held");
  assert.equal(await attack.call("x"), "held");
};

function refused(text: RegExp): Check {
  return async (attack) => {
    assert.match(attack.refusal?.message ?? "it was deployed", text);
  };
}

const text =
  (module: string): WasmCase["module"] =>
  () =>
    assemble(`(module ${module})`);
const deadline = "Ended at its time limit; the function comes back";
const wasi = (name: string, params: string): string =>
  `(import "wasi_snapshot_preview1" "${name}" (func $${name} (param ${params}) (result i32)))`;
const largeModuleBytes = 50 * 1024 * 1024;

/** Goes on unless an expression is zero. */
const demand = (expression: string): string => `(if (i32.eqz ${expression}) (then (call $fine) (return)))`;

export const wasmCases: readonly WasmCase[] = [
  module(
    "an endless loop in Wasm",
    "A loop without a way out",
    deadline,
    hostile("(loop $again (br $again))"),
    fails(/function_timed_out/),
  ),
  module(
    "an endless sleep",
    "Sleeps for an hour by `poll_oneoff`",
    deadline,
    hostile(
      `(i64.store (i32.const 4120) (i64.const 3600000000000))
       (drop (call $poll_oneoff (i32.const 4096) (i32.const 8192) (i32.const 1) (i32.const 16)))`,
      { imports: wasi("poll_oneoff", "i32 i32 i32 i32") },
    ),
    fails(/function_timed_out/),
  ),
  module(
    "a memory bomb in Wasm",
    "Grows its memory while that works, and fills it",
    "Can't grow beyond what its machine has; or its machine dies, and the function comes back",
    hostile(`
      (loop $more
        (br_if $more (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))
      (memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)))
      ${demand("(i32.le_u (memory.size) (i32.const 4096))")}
      (call $held)`),
    async (attack) => {
      attack.demandDeployed();
      const answer = await attack.call("x").catch((error: Error & { code: string }) => error.code);
      // On a busy host, filling that much memory takes longer than a call may.
      assert.match(answer, /^held$|function_stopped|function_timed_out/);
      assert.equal(await attack.call(""), "fine");
    },
  ),
  module(
    "a trap",
    "Reaches what must not be reached",
    "The call fails and says why",
    hostile("unreachable"),
    fails(/function_threw/, /the module trapped: unreachable/),
  ),
  module(
    "deep recursion in Wasm",
    "Calls itself until the stack ends",
    "The call fails",
    hostile("(drop (call $again (i32.const 0)))", {
      declarations:
        "(func $again (param i32) (result i32) (i32.add (i32.const 1) (call $again (local.get 0))))",
    }),
    fails(/function_threw/, /call stack/),
  ),
  module(
    "a giant output",
    "Writes to its standard output without end",
    "The call fails at 8 MiB",
    hostile("(loop $more (call $write (i32.const 1) (i32.const 0) (i32.const 65536)) (br $more))"),
    fails(/function_threw/, /over 8388608 bytes/),
  ),
  module(
    "a flood of errors",
    "Writes 64 MiB of lines to its standard error",
    "Held to the rate of the log; the call goes on",
    hostile(`
      (memory.fill (i32.const 4096) (i32.const 10) (i32.const 32768))
      (loop $more
        (call $write (i32.const 2) (i32.const 4096) (i32.const 32768))
        (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 2048))))
      (call $held)`),
    async (attack) => {
      attack.demandDeployed();
      const answer = await attack.call("x").catch((error: Error & { code: string }) => error.code);
      assert.match(answer, /^held$|function_timed_out/);
      assert.equal(await attack.call(""), "fine");
      assert.ok(attack.story.lineCount < 60_000, `${attack.story.lineCount} lines came through`);
    },
  ),
  module(
    "files and sockets",
    "Opens, reads, renames and connects with descriptors of every number",
    "Each answers with an error",
    hostile(
      `(loop $more
        ${demand("(call $path_open (local.get $n) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 16))")}
        ${demand("(call $fd_prestat_get (local.get $n) (i32.const 16))")}
        ${demand("(call $sock_accept (local.get $n) (i32.const 0) (i32.const 16))")}
        ${demand("(call $path_rename (local.get $n) (i32.const 1024) (i32.const 4) (local.get $n) (i32.const 1024) (i32.const 4))")}
        (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 64))))
      ${demand("(call $fd_write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 16))")}
      ${demand("(call $fd_read (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 16))")}
      (call $held)`,
      {
        imports:
          wasi("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32") +
          wasi("fd_prestat_get", "i32 i32") +
          wasi("sock_accept", "i32 i32 i32") +
          wasi("path_rename", "i32 i32 i32 i32 i32 i32"),
      },
    ),
    holds,
  ),
  module(
    "places outside of its memory",
    "Has the host write random bytes behind its memory",
    "The call fails",
    hostile("(drop (call $random_get (i32.const 65530) (i32.const -1)))", {
      imports: wasi("random_get", "i32 i32"),
    }),
    fails(/function_threw/, /outside of its memory/),
  ),
  module(
    "a list without end",
    "Has the host read four thousand million places of parts",
    "The call fails",
    hostile("(drop (call $fd_write (i32.const 1) (i32.const 4096) (i32.const -1) (i32.const 16)))"),
    fails(/function_threw/, /outside of its memory/),
  ),
  module(
    "what the call before has left",
    "Looks through its memory and the last answer of a host service for what another call left there",
    "Finds nothing",
    hostile(
      `(local.set $n (i32.const 32768))
      (loop $more
        ${demand("(i32.eqz (i32.load (local.get $n)))")}
        (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 4))) (i32.const 65536))))
      ${demand("(i32.eqz (call $read (i32.const 40000) (i32.const 8)))")}
      (i32.store (i32.const 16) (i32.const 1024))
      (i32.store (i32.const 20) (i32.const 4))
      (drop (call $call (i32.const 1) (i32.const 16) (i32.const 1)))
      (memory.fill (i32.const 32768) (i32.const 7) (i32.const 32768))
      (call $held)`,
      {
        imports: `(import "nex" "call" (func $call (param i32 i32 i32) (result i32)))
          (import "nex" "read" (func $read (param i32 i32) (result i32)))`,
      },
    ),
    holds,
  ),
  module(
    "calls of host services that are none",
    "Calls methods that do not exist, with too many arguments and such that are too large",
    "Each answers with an error",
    hostile(
      `${demand("(i32.lt_s (call $call (i32.const 9999) (i32.const 4096) (i32.const 0)) (i32.const 0))")}
      ${demand("(i32.lt_s (call $call (i32.const 200) (i32.const 4096) (i32.const 0)) (i32.const 0))")}
      ${demand("(i32.lt_s (call $call (i32.const -1) (i32.const 4096) (i32.const 0)) (i32.const 0))")}
      ${demand("(i32.lt_s (call $call (i32.const 1) (i32.const 4096) (i32.const 1000)) (i32.const 0))")}
      (drop (memory.grow (i32.const 160)))
      (i32.store (i32.const 4100) (i32.const 10000000))
      ${demand("(i32.lt_s (call $call (i32.const 1) (i32.const 4096) (i32.const 1)) (i32.const 0))")}
      (call $held)`,
      { imports: `(import "nex" "call" (func $call (param i32 i32 i32) (result i32)))` },
    ),
    holds,
  ),
  module(
    "an import of nobody's",
    "Imports a function that no node has",
    "Refused with its name",
    text(`(import "env" "take_over" (func)) (func (export "_start"))`),
    refused(
      /workload rejected by agent: Failed to validate workload: it imports the unknown function "take_over" of "env"/,
    ),
  ),
  module(
    "a huge memory",
    "Begins with 4 GiB",
    "Refused",
    text(`(memory 65536) (func (export "_start"))`),
    refused(/its memory begins with 4294967296 bytes/),
  ),
  module(
    "a huge table",
    "Begins with ten million elements",
    "Refused",
    text(`(table 10000000 funcref) (func (export "_start"))`),
    refused(/its tables have over 1000000 elements/),
  ),
  module(
    "a start without end",
    "Loops in the function that runs when an instance is made",
    "Refused, or its machine ends with the limit of a deploy",
    text(`(func $begin (loop $again (br $again))) (start $begin) (func (export "_start"))`),
    refused(/Cannot|Failed|deploy/),
  ),
  module(
    "a huge module",
    "Has 50 MB",
    "Refused, or it runs within its limits",
    async () => {
      const small = await assemble(`(module (func (export "_start")))`);
      // A section of its own that nobody reads, with its length in five bytes.
      const size = largeModuleBytes + 2;
      const head = [
        0,
        ...[0, 7, 14, 21, 28].map((shift) => ((size >>> shift) & 0x7f) | (shift < 28 ? 0x80 : 0)),
        1,
        0x78,
      ];
      return Buffer.concat([small, Buffer.from(head), Buffer.alloc(largeModuleBytes)]);
    },
    async (attack) => {
      if (attack.refusal === undefined) assert.equal(await attack.call("x"), "");
      else assert.match(attack.refusal.message, /artifact|large|space|object|stream|bytes/i);
    },
  ),
  module(
    "no module",
    "Is random text with the first bytes of a module",
    "Refused",
    async () => Buffer.concat([Buffer.from("\0asm"), Buffer.alloc(5_000, "no module, whatever it says")]),
    refused(/failed to compile module: its version is not 1/),
  ),
];
