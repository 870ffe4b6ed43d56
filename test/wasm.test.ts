/** Functions in Wasm, through a real node and machines of each kind. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  assemble,
  compileWasm,
  eventOf,
  logsOf,
  startTestNexus,
  type TestNexus,
  unmetSandboxRequirement,
} from "@nexengine/testing";

const echoSource = join(import.meta.dirname, "../examples/wasm/echo.wat");
const wasi = `
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))`;
const nex = `
  (import "nex" "call" (func $call (param i32 i32 i32) (result i32)))
  (import "nex" "read" (func $read (param i32 i32) (result i32)))`;
const write = `(func $write (param $fd i32) (param $from i32) (param $size i32)
  (i32.store (i32.const 0) (local.get $from))
  (i32.store (i32.const 4) (local.get $size))
  (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))`;

/** Calls the host service that its payload says, in the form of a frame; answers with what \`call\` gave, and the answer. */
const caller = `(module ${wasi} ${nex} (memory (export "memory") 4) ${write}
  (func (export "_start") (local $at i32) (local $part i32) (local $size i32)
    (i32.store (i32.const 0) (i32.const 65536))
    (i32.store (i32.const 4) (i32.const 65536))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $at (i32.const 65538))
    (block $all (loop $next
      (br_if $all (i32.ge_u (local.get $part) (i32.load8_u (i32.const 65537))))
      (local.set $size (i32.load (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (i32.store (i32.add (i32.const 64) (i32.mul (local.get $part) (i32.const 8))) (local.get $at))
      (i32.store (i32.add (i32.const 68) (i32.mul (local.get $part) (i32.const 8))) (local.get $size))
      (local.set $at (i32.add (local.get $at) (local.get $size)))
      (local.set $part (i32.add (local.get $part) (i32.const 1)))
      (br $next)))
    (i32.store (i32.const 16) (call $call (i32.load8_u (i32.const 65536)) (i32.const 64) (local.get $part)))
    (call $write (i32.const 1) (i32.const 16) (i32.const 4))
    (loop $more
      (local.set $size (call $read (i32.const 131072) (i32.const 1000)))
      (call $write (i32.const 1) (i32.const 131072) (local.get $size))
      (br_if $more (local.get $size)))))`;

/** Its start function would write what stands in the memory of the call before, once there is a key. */
const peeper = `(module ${wasi} ${nex} (memory (export "memory") 1) ${write}
  (data (i32.const 1024) "secret")
  (func $begin
    (if (i32.gt_s (call $call (i32.const 4) (i32.const 0) (i32.const 0)) (i32.const 2))
      (then (call $write (i32.const 1) (i32.const 1024) (i32.const 6)))))
  (start $begin)
  (func (export "_start")
    (i32.store (i32.const 64) (i32.const 1024)) (i32.store (i32.const 68) (i32.const 6))
    (i32.store (i32.const 72) (i32.const 1024)) (i32.store (i32.const 76) (i32.const 6))
    (drop (call $call (i32.const 2) (i32.const 64) (i32.const 2)))))`;

const length = (size: number): Buffer => Buffer.from(Uint32Array.of(size).buffer);

for (const sandbox of ["process", "container"] as const) {
  const unmet = sandbox === "process" ? undefined : await unmetSandboxRequirement(sandbox);
  describe(`functions in Wasm (${sandbox})`, { skip: unmet ?? false }, () => {
    let nexus: TestNexus;
    before(async () => {
      nexus = await startTestNexus({ sandbox, config: { machine_pool_size: 2 } });
    });
    after(() => nexus[Symbol.asyncDispose]());

    const deploy = (bytes: Uint8Array, name: string): ReturnType<TestNexus["deploy"]> =>
      nexus.deploy({ bytes }, { name, type: "wasm", triggerSubjects: [name] });

    test("the echo in wat answers, in one frame and in many (B15)", async () => {
      const echo = await compileWasm(echoSource);
      assert.ok(echo !== undefined);
      await nexus.deploy({ path: echo.path }, { name: "echo", type: "wasm", triggerSubjects: ["echo.>"] });
      assert.equal(await nexus.call("echo.a", "hello"), "hello");
      const payload = Buffer.alloc(500_000, "0123456789");
      assert.ok(Buffer.from((await nexus.client.call("echo.b", payload)).data).equals(payload));
    });

    test("what it writes to its errors is logged, and its time is told of (B15)", async () => {
      const code = `(module ${wasi} (memory (export "memory") 1) ${write} (data (i32.const 1024) "one\\ntwo\\n")
        (func (export "_start") (call $write (i32.const 2) (i32.const 1024) (i32.const 8))))`;
      await deploy(await assemble(code), "logs");
      assert.deepEqual(await logsOf(nexus, 2, () => nexus.call("logs")), ["ERROR one", "ERROR two"]);
      const { elapsed_nanos } = await eventOf(nexus, "function_exec_succeeded", () => nexus.call("logs"));
      assert.ok(Number(elapsed_nanos) > 0, String(elapsed_nanos));
    });

    test("a trap is an error of the call, and the next call is served (B15)", async () => {
      await deploy(await assemble(`(module (func (export "_start") unreachable))`), "trap");
      for (let call = 0; call < 2; call++)
        await assert.rejects(nexus.call("trap"), {
          code: "function_threw",
          message: /the module trapped: unreachable/,
        });
    });

    test("what is no module is refused with the words of the Go Nex and a reason", async () => {
      await assert.rejects(deploy(Buffer.from("() => 1"), "none"), {
        code: "workload_rejected",
        message:
          /workload rejected by agent: Failed to validate workload: failed to compile module: it is not Wasm/,
      });
    });

    test("a start function does not see the memory of the call before", async () => {
      await deploy(await assemble(peeper), "peeper");
      await nexus.call("peeper");
      await assert.rejects(nexus.call("peeper"), {
        code: "function_threw",
        message: /outside of its memory/,
      });
    });

    test("host services answer with bytes, JSON, lists and errors", async () => {
      await deploy(await assemble(caller), "caller");
      const ask = async (method: number, ...parts: (string | Uint8Array)[]): Promise<[number, Buffer]> => {
        const args = parts.map((part) => Buffer.from(part));
        const body = [
          Buffer.from([method, args.length]),
          ...args.flatMap((arg) => [length(arg.length), arg]),
        ];
        const answer = Buffer.from((await nexus.client.call("caller", Buffer.concat(body))).data);
        return [answer.readInt32LE(0), answer.subarray(4)];
      };
      const bytes = Buffer.from(Array.from({ length: 5_000 }, (_, at) => at));
      assert.deepEqual(await ask(2, "key", bytes), [0, Buffer.alloc(0)]);
      assert.deepEqual(await ask(1, "key"), [bytes.length, bytes]);
      assert.deepEqual(await ask(4), [7, Buffer.from('["key"]')]);
      assert.equal((await ask(1, "other"))[0], -404);
      assert.match((await ask(1, "other"))[1].toString(), /other/);
      assert.equal((await ask(200))[0], -404);
      nexus.client.connection.subscribe("answers", { callback: (_, message) => void message.respond("yes") });
      await nexus.client.flush();
      assert.deepEqual(await ask(33, "answers", "?", ""), [3, Buffer.from("yes")]);
      const options = JSON.stringify({ max: 1 });
      assert.deepEqual(await ask(34, "answers", "?", options), [7, Buffer.from("\x03\0\0\0yes")]);
      assert.equal((await ask(32, "$SYS.x", "?"))[0], -403);
    });
  });
}
