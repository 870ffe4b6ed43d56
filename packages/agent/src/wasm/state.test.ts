/** No call finds anything of another, whatever a module can keep its state in. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TestAgent } from "../testing/test-agent.ts";
import { assemble, imports, tools } from "../testing/wasm-modules.ts";
import { readModule } from "./module.ts";

const command = `${imports} (memory (export "memory") 1) ${tools}`;
const start = (code: string): string => `(func (export "_start") ${code})`;
/** Two functions, of which a table may have either. */
const functions = `(type $number (func (result i32))) (func $one (result i32) i32.const 1) (func $two (result i32) i32.const 2)
  (elem declare func $one $two)`;
const callTable = "(call $digit (call_indirect (type $number) (i32.const 0)))";

interface Case {
  what: string;
  fields: string;
  /** The reply to every call. */
  reply: string;
  /** The instance is used again. */
  resettable: boolean;
}

const cases: readonly Case[] = [
  {
    what: "memory",
    fields: `${command} (data (i32.const 1024) "\\03")
      ${start(`
        (call $digit (i32.load8_u (i32.const 1024))) (call $digit (i32.load8_u (i32.const 60000)))
        (i32.store8 (i32.const 1024) (i32.const 9)) (i32.store8 (i32.const 60000) (i32.const 8))`)}`,
    reply: "30",
    resettable: true,
  },
  {
    what: "memory that nobody exports",
    fields: `${imports} (memory 1) ${tools}
      ${start("(call $digit (i32.load8_u (i32.const 9000))) (i32.store8 (i32.const 9000) (i32.const 9))")}`,
    reply: "0",
    resettable: true,
  },
  {
    what: "globals of numbers that nobody exports",
    fields: `${command}
      (global $a (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 2))
      (global $c (mut f32) (f32.const 3)) (global $d (mut f64) (f64.const 4)) (global $fixed i32 (i32.const 5))
      ${start(`
        (call $digit (global.get $a)) (global.set $a (i32.const 9))
        (call $digit (i32.wrap_i64 (global.get $b))) (global.set $b (i64.const 9))
        (call $digit (i32.trunc_f32_s (global.get $c))) (global.set $c (f32.const 9))
        (call $digit (i32.trunc_f64_s (global.get $d))) (global.set $d (f64.const 9))
        (call $digit (global.get $fixed))`)}`,
    reply: "12345",
    resettable: true,
  },
  {
    what: "an exported global",
    fields: `${command} (global $a (export "a") (mut i32) (i32.const 1))
      ${start("(call $digit (global.get $a)) (global.set $a (i32.const 9))")}`,
    reply: "1",
    resettable: true,
  },
  {
    what: "a global whose export has a name like ours",
    fields: `${command} (global $a (export "nex:global:0") (mut i32) (i32.const 1))
      ${start("(call $digit (global.get $a)) (global.set $a (i32.const 9))")}`,
    reply: "1",
    resettable: false,
  },
  {
    what: "a global that is not a number yet",
    fields: `${command} (global $a (mut f32) (f32.const nan:0x1234))
      ${start(`
        (call $digit (i32.eq (i32.reinterpret_f32 (global.get $a)) (i32.const 0x7f801234)))
        (global.set $a (f32.const 9))`)}`,
    reply: "1",
    resettable: true,
  },
  {
    what: "a global of a reference",
    fields: `${command} ${functions} (global $a (mut funcref) (ref.func $one))
      ${start("(call $digit (ref.is_null (global.get $a))) (global.set $a (ref.null func))")}`,
    reply: "0",
    resettable: false,
  },
  {
    what: "a global of a vector",
    fields: `${command} (global $a (mut v128) (v128.const i32x4 1 2 3 4))
      ${start("(call $digit (i32x4.extract_lane 1 (global.get $a))) (global.set $a (v128.const i32x4 9 9 9 9))")}`,
    reply: "2",
    resettable: false,
  },
  {
    what: "the size of the memory",
    fields: `${command}
      ${start("(call $digit (memory.size)) (drop (memory.grow (i32.const 2))) (call $digit (memory.size))")}`,
    reply: "13",
    resettable: true,
  },
  {
    what: "a large memory",
    fields: `${imports} (memory (export "memory") 300) ${tools}
      ${start("(call $digit (i32.load8_u (i32.const 15000000))) (i32.store8 (i32.const 15000000) (i32.const 9))")}`,
    reply: "0",
    resettable: true,
  },
  {
    what: "a shared memory",
    fields: `${imports} (memory (export "memory") 1 2 shared) ${tools}
      ${start("(call $digit (i32.atomic.rmw.add (i32.const 1024) (i32.const 1)))")}`,
    reply: "0",
    resettable: false,
  },
  {
    what: "segments of data that were copied",
    fields: `${command} (data $text "5")
      ${start(`
        (memory.init $text (i32.const 1024) (i32.const 0) (i32.const 1)) (call $write (i32.const 1) (i32.const 1024) (i32.const 1))
        (memory.fill (i32.const 2048) (i32.const 1) (i32.const 9)) (memory.copy (i32.const 4096) (i32.const 2048) (i32.const 9))`)}`,
    reply: "5",
    resettable: true,
  },
  {
    what: "segments of data that were dropped",
    fields: `${command} (data $text "5")
      ${start(`
        (memory.init $text (i32.const 1024) (i32.const 0) (i32.const 1)) (call $write (i32.const 1) (i32.const 1024) (i32.const 1))
        (data.drop $text)`)}`,
    reply: "5",
    resettable: false,
  },
  {
    what: "tables that are only called",
    fields: `${command} ${functions} (table $t 1 funcref) (elem (i32.const 0) $one) ${start(callTable)}`,
    reply: "1",
    resettable: true,
  },
  ...(
    [
      ["set", "(table.set $t (i32.const 0) (ref.func $two))"],
      ["filled", "(table.fill $t (i32.const 0) (ref.func $two) (i32.const 1))"],
      ["copied to", "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 1))"],
      ["given a segment", "(table.init $t $segment (i32.const 0) (i32.const 0) (i32.const 1))"],
      ["grown", "(drop (table.grow $t (ref.null func) (i32.const 1)))", "(call $digit (table.size $t))"],
      [
        "left without a segment",
        "(table.init $u $segment (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $segment)",
      ],
    ] as const
  ).map(([how, code, show = ""]) => ({
    what: `tables that are ${how}`,
    fields: `${command} ${functions} (table $t 2 3 funcref) (table $u 1 funcref)
      (elem (table $t) (i32.const 0) func $one $two) (elem $segment func $two)
      ${start(`${callTable} ${show} ${code}`)}`,
    reply: show === "" ? "1" : "12",
    resettable: false,
  })),
  {
    what: "a start function",
    fields: `${command} (global $a (mut i32) (i32.const 1)) (func $begin (global.set $a (i32.const 2))) (start $begin)
      ${start("(call $digit (global.get $a)) (global.set $a (i32.const 9))")}`,
    reply: "2",
    resettable: false,
  },
  {
    what: "exceptions",
    fields: `${command} (tag $t (param i32))
      ${start(`
        (call $digit (i32.load8_u (i32.const 1024))) (i32.store8 (i32.const 1024) (i32.const 9))
        (try (do (throw $t (i32.const 7))) (catch $t (call $digit)))`)}`,
    reply: "07",
    resettable: false,
  },
  {
    what: "blocks, branches, vectors and all kinds of numbers in the code",
    fields: `${command} (global $a (mut i32) (i32.const 4))
      (func $pair (param i32) (result i32 i32) (local.get 0) (i32.const 1))
      ${start(`(local $n i32) (local $f f64)
        (block $out (loop $again (br_table $again $out $out (i32.add (i32.const 1) (local.get $n)))))
        (if (result i32) (i32.const 1) (then (i32.const 2)) (else (i32.const 3))) (call $digit)
        (call $digit (i32.add (call $pair (i32.const 5))))
        (drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (v128.const i64x2 1 2) (v128.load (i32.const 0))))
        (v128.store8_lane offset=4 3 (i32.const 0) (v128.load8_lane 2 (i32.const 8) (i8x16.splat (i32.const 300))))
        (drop (select (result f64) (f64.const 1.5) (f64.const 2.5) (i32.const 1)))
        (drop (i32.trunc_sat_f64_s (f64.const 1e300))) (drop (i32.extend8_s (i32.const 200)))
        (drop (i64.load32_s offset=300 align=4 (i32.const 16))) (drop (i64.const -9223372036854775808))
        (call $digit (global.get $a)) (global.set $a (i32.const 9))`)}`,
    reply: "264",
    resettable: true,
  },
];

describe("no state passes between calls in", () => {
  for (const { what, fields, reply, resettable } of cases) {
    test(what, async () => {
      const module = await assemble(fields);
      assert.equal(readModule(module).resettable, resettable);
      await using agent = await TestAgent.start();
      const { accepted, message } = await agent.deploy(module, { type: "wasm" });
      assert.deepEqual({ accepted, message }, { accepted: true, message: undefined });
      assert.deepEqual([await agent.call(), await agent.call(), await agent.call()], [reply, reply, reply]);
    });
  }

  test("memory and globals of a call that traps or ends itself", async () => {
    const module = await assemble(`${command} (global $a (mut i32) (i32.const 1))
      ${start(`
        (call $digit (global.get $a)) (call $digit (i32.load8_u (i32.const 9000)))
        (global.set $a (i32.const 9)) (i32.store8 (i32.const 9000) (i32.const 9))
        (br_if 0 (i32.eqz (call $read (i32.const 1024) (i32.const 1))))
        (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 48)) (then (call $proc_exit (i32.const 3))))
        unreachable`)}`);
    await using agent = await TestAgent.start();
    await agent.deploy(module, { type: "wasm" });
    for (const payload of ["", "0", "", "1", "1", "", "0", ""]) {
      const answer = await agent.call(payload);
      if (payload === "") assert.equal(answer, "10");
      else assert.ok(typeof answer === "object" && answer.code === 500);
    }
  });

  test("objects of the engine: a module with types of such is not used again", () => {
    const module = Buffer.from("0061736d01000000010100".replace("010100", "0104015f0000"), "hex");
    assert.equal(readModule(module).resettable, false);
  });
});
