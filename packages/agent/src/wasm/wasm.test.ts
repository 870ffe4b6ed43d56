import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { Deploy } from "@nexengine/protocol/agent";
import { TestAgent } from "../testing/test-agent.ts";
import { assemble, imports, tools } from "../testing/wasm-modules.ts";

const type = "wasm";
const command = `${imports} (memory (export "memory") 1) ${tools}`;

async function withModule(
  fields: string,
  run: (agent: TestAgent) => Promise<void>,
  options: Partial<Deploy> = {},
): Promise<void> {
  await using agent = await TestAgent.start();
  const { accepted, message } = await agent.deploy(await assemble(fields), { type, ...options });
  assert.deepEqual({ accepted, message }, { accepted: true, message: undefined });
  await run(agent);
}

async function refusal(artifact: string | Uint8Array, options: Partial<Deploy> = {}): Promise<string> {
  await using agent = await TestAgent.start();
  const bytes = typeof artifact === "string" ? await assemble(artifact) : artifact;
  const { accepted, message = "" } = await agent.deploy(bytes, { type, ...options });
  assert.equal(accepted, false);
  return message;
}

const start = (code: string): string => `(func (export "_start") ${code})`;
const failed = (text: string): { code: number; text: string } => ({ code: 500, text });

describe("a command", () => {
  test("gets the payload in pieces, and all that it writes is the reply (B15)", async () => {
    const echo = start(`(local $size i32)
      (loop $more
        (local.set $size (call $read (i32.const 1024) (i32.const 100)))
        (call $write (i32.const 1) (i32.const 1024) (local.get $size))
        (br_if $more (local.get $size)))`);
    await withModule(command + echo, async (agent) => {
      assert.equal(await agent.call("hello"), "hello");
      assert.equal(await agent.call(""), "");
      const bytes = Buffer.alloc(300_000, Buffer.from(Array.from({ length: 251 }, (_, at) => at)));
      const answer = await agent.send("s", bytes).answer;
      assert.ok("reply" in answer && answer.reply.equals(bytes));
      assert.ok("runTicks" in answer && answer.runTicks > 0);
    });
  });

  test("gets its name, the very subject, and the environment as given (B15)", async () => {
    const show = (name: string): string => `
      (import "wasi_snapshot_preview1" "${name}_sizes_get" (func $${name}_sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "${name}_get" (func $${name} (param i32 i32) (result i32)))`;
    const write = (name: string): string => `
      (drop (call $${name}_sizes (i32.const 80) (i32.const 84)))
      (drop (call $${name} (i32.const 128) (i32.const 1024)))
      (call $digit (i32.load (i32.const 80)))
      (call $write (i32.const 1) (i32.load (i32.const 132)) (i32.const 3))
      (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 84)))`;
    await withModule(
      show("args") + show("environ") + command + start(write("args") + write("environ")),
      async (agent) => {
        assert.equal(await agent.call("", "a.b"), "2a.bnexfunction\0a.b\x002Ab=Key=1\0Ab=c=d\0");
      },
      { environment: { Key: "1", Ab: "c=d" } },
    );
  });

  test("finds its trigger in the environment, before what the deploy gives", async () => {
    const environ = `
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))`;
    const write = start(`
      (drop (call $sizes (i32.const 80) (i32.const 84)))
      (drop (call $environ (i32.const 128) (i32.const 1024)))
      (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 84)))`);
    const triggers: NonNullable<Deploy["triggers"]> = [
      { type: "stream", name: "orders", stream: "ORDERS" },
      { type: "object", name: "up", bucket: "UP" },
    ];
    const environment = { NEX_TRIGGER_TYPE: "mine" };
    await withModule(
      environ + command + write,
      async (agent) => {
        const call = async (place: number, payload = ""): Promise<string[]> => {
          const delivery = "$JS.ACK.ORDERS.c.2.7.3.1767225600123456789.4";
          const answer = await agent.send("s", payload, "", { place, delivery }).answer;
          assert.ok("reply" in answer);
          return answer.reply.toString().split("\0").slice(0, -1);
        };
        const head = "NEX_TRIGGER";
        assert.deepEqual(await call(1), [
          ...[`${head}_TYPE=stream`, `${head}_NAME=orders`, `${head}_STREAM=ORDERS`, `${head}_SEQUENCE=7`],
          ...[
            `${head}_DELIVERY=2`,
            `${head}_TIME_MS=1767225600123`,
            `${head}_PENDING=4`,
            `${head}_TYPE=mine`,
          ],
        ]);
        const object = await call(2, '{"name":"a","nuid":"b\\u0000c","size":3}');
        assert.deepEqual(
          object.filter((line) => line.includes("OBJECT")),
          [`${head}_OBJECT_NAME=a`, `${head}_OBJECT_SIZE=3`],
        );
        assert.equal(await agent.call(), `${head}_TYPE=mine\0`);
      },
      { environment, triggers },
    );
  });

  test("writes its errors to the logs, line by line (B15)", async () => {
    const data = `(data (i32.const 1024) "one\\ntwo\\nthree")`;
    await withModule(
      command + data + start("(call $write (i32.const 2) (i32.const 1024) (i32.const 13))"),
      async (agent) => {
        assert.equal(await agent.call(), "");
        for (const line of ["one", "two", "three"]) await agent.logged(line);
      },
    );
  });

  test("has neither files nor sockets: every function for them answers with an error", async () => {
    const open = `(import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))`;
    const zero = (count: number): string => "(i32.const 3)".repeat(count);
    await withModule(
      open +
        command +
        start(`
          (call $digit (call $open ${zero(5)} (i64.const 0) (i64.const 0) ${zero(2)}))
          (call $digit (call $prestat ${zero(2)}))
          (call $digit (call $accept ${zero(3)}))
          (call $digit (call $fd_read ${zero(4)}))
          (call $digit (call $fd_write (i32.const 0) ${zero(3)}))`),
      async (agent) => assert.equal(await agent.call(), "88888"),
    );
  });

  test("closes a descriptor for its own call only", async () => {
    const close = `(import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))`;
    const code = "(call $digit (call $close (i32.const 0))) (call $digit (call $close (i32.const 0)))";
    await withModule(close + command + start(code), async (agent) => {
      assert.equal(await agent.call(), "08");
      assert.equal(await agent.call(), "08");
    });
  });

  test("reads clocks, sleeps, and gets random bytes", async () => {
    const wasi = (name: string, params: string): string =>
      `(import "wasi_snapshot_preview1" "${name}" (func $${name} (param ${params}) (result i32)))`;
    const sleep = `
      (func $now (result i64)
        (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 80)))
        (i64.load (i32.const 80)))`;
    // A subscription to the monotonic clock, 20 ms from now.
    const code = `(local $before i64)
      (local.set $before (call $now))
      (i32.store (i32.const 1040) (i32.const 1))
      (i64.store (i32.const 1048) (i64.const 20000000))
      (i64.store (i32.const 1024) (i64.const 7))
      (call $digit (call $poll_oneoff (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 96)))
      (call $digit (i32.load (i32.const 96)))
      (call $digit (i32.wrap_i64 (i64.load (i32.const 2048))))
      (call $digit (i64.ge_u (i64.sub (call $now) (local.get $before)) (i64.const 19900000)))
      (call $digit (call $random_get (i32.const 3072) (i32.const 16)))
      (call $digit (i64.ne (i64.load (i32.const 3072)) (i64.const 0)))
      (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 80)))
      (call $digit (i64.gt_u (i64.load (i32.const 80)) (i64.const 1700000000000000000)))
      (call $digit (i32.ne (call $clock_time_get (i32.const 9) (i64.const 0) (i32.const 80)) (i32.const 0)))`;
    const parts = [
      wasi("clock_time_get", "i32 i64 i32"),
      wasi("poll_oneoff", "i32 i32 i32 i32"),
      wasi("random_get", "i32 i32"),
    ];
    await withModule(parts.join("") + command + sleep + start(code), async (agent) => {
      assert.equal(await agent.call(), "01710111");
    });
  });

  test("may end itself with 0; another exit code and a trap are errors with a text (B15)", async () => {
    const code = `
      (call $write (i32.const 1) (i32.const 1024) (call $read (i32.const 1024) (i32.const 1)))
      (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 116)) (then unreachable))
      (call $proc_exit (i32.sub (i32.load8_u (i32.const 1024)) (i32.const 48)))
      unreachable`;
    await withModule(command + start(code), async (agent) => {
      assert.equal(await agent.call("0"), "0");
      assert.deepEqual(await agent.call("7"), failed("the module ended with exit code 7"));
      const badData = failed("the module ended with exit code 65");
      assert.deepEqual(await agent.call("q"), { ...badData, retry: false });
      assert.deepEqual(await agent.call("t"), failed("the module trapped: unreachable"));
      assert.equal(await agent.call("0"), "0");
    });
  });

  test("that recurses, points outside of its memory, or writes too much fails in that call only", async () => {
    const code = `(local $n i32)
      (block $fine (block $much (block $outside (block $deep
        (br_table $fine $deep $outside $much (call $read (i32.const 1024) (i32.const 9))))
        (call $again (i32.const 0)) drop)
        (call $write (i32.const 1) (i32.const 65535) (i32.const 2)))
        (loop $more
          (call $write (i32.const 1) (i32.const 0) (i32.const 65536))
          (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000)))))
      (call $digit (i32.const 1))`;
    const deep = "(func $again (param i32) (result i32) (i32.add (i32.const 1) (call $again (local.get 0))))";
    await withModule(command + deep + start(code), async (agent) => {
      const texts = [
        /Maximum call stack size exceeded/,
        /an address is outside of its memory/,
        /over 8388608 bytes/,
      ];
      for (const [at, text] of texts.entries()) {
        const answer = await agent.call("x".repeat(at + 1));
        assert.ok(typeof answer === "object" && answer.code === 500);
        assert.match(answer.text, text);
        assert.equal(await agent.call(), "1");
      }
    });
  });

  test("grows its memory to the limit and not beyond", async () => {
    const code = `(call $digit (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))
      (call $digit (i32.ge_s (memory.grow (i32.const 512)) (i32.const 0)))`;
    const memoryBytesMax = (64 + 32) * 2 ** 20;
    await withModule(command + start(code), async (agent) => assert.equal(await agent.call(), "10"), {
      memoryBytesMax,
    });
  });
});

test("instances that are gone leave their memory", async () => {
  // Each call takes 15 MiB and fills them.
  const code = `(drop (memory.grow (i32.const 240)))
    (memory.fill (i32.const 65536) (i32.const 1) (i32.const 15728640))
    (call $digit (i32.const 1))`;
  await withModule(
    command + start(code),
    async (agent) => {
      for (let call = 0; call < 40; call++) assert.equal(await agent.call(), "1");
      const status = readFileSync(`/proc/${agent.child.pid}/status`, "utf8");
      const mostKib = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]);
      assert.ok(mostKib < 200 * 1024, `${mostKib} KiB`);
    },
    { memoryBytesMax: 96 * 2 ** 20 },
  );
});

describe("a module is refused that", () => {
  const invalid = "Failed to validate workload: ";
  const cases: [what: string, artifact: string | Uint8Array, text: RegExp][] = [
    [
      "is no Wasm",
      Buffer.from("() => 1"),
      /^Failed to validate workload: failed to compile module: it is not Wasm$/,
    ],
    ["is empty", Buffer.alloc(0), /failed to compile module: it is not Wasm$/],
    ["is cut off", Buffer.from("0061736d01000000016000", "hex"), /failed to compile module: it is cut off$/],
    [
      "is a component",
      Buffer.from("0061736d0d000100", "hex"),
      /it is a component \(WASI preview 2\); build it as a module for WASI preview 1$/,
    ],
    ["is of another version", Buffer.from("0061736d02000000", "hex"), /its version is not 1$/],
    [
      "has code that is not valid",
      Buffer.from(
        "0061736d0100000001040160000003020100070a01065f73746172740000 0a05010300 6a0b".replaceAll(" ", ""),
        "hex",
      ),
      /failed to compile module: Compiling function/,
    ],
    ["is no command", `(func (export "run"))`, /it exports no function "_start"$/],
    [
      "imports what nobody knows",
      `(import "env" "secret" (func)) ${start("")}`,
      /it imports the unknown function "secret" of "env"$/,
    ],
    [
      "imports what nobody knows of WASI",
      `(import "wasi_snapshot_preview1" "constructor" (func)) ${start("")}`,
      /the unknown function "constructor" of "wasi_snapshot_preview1"$/,
    ],
    [
      "imports a function with another type",
      `(import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32))) ${start("")}`,
      /imports the function "fd_close" of "wasi_snapshot_preview1" with another type than it has$/,
    ],
    [
      "imports a memory",
      `(import "env" "memory" (memory 1)) ${start("")}`,
      /it imports the memory "memory" of "env"/,
    ],
    ["has a huge memory", `(memory 65536) ${start("")}`, /its memory begins with 4294967296 bytes/],
    ["has a huge table", `(table 9999999 funcref) ${start("")}`, /its tables have over 1000000 elements$/],
    ["has two memories", `(memory 1) (memory 1) ${start("")}`, /it has more than one memory$/],
    [
      "has a memory of 64 bits",
      `(memory i64 1) ${start("")}`,
      /a memory or table has a form that is not known$/,
    ],
    [
      "traps at its start",
      `(func $trap unreachable) (start $trap) ${start("")}`,
      /no instance can be made: unreachable$/,
    ],
    [
      "ends itself at its start",
      `${imports} (func $end (call $proc_exit (i32.const 0))) (start $end) ${start("")}`,
      /: its start function ends it$/,
    ],
    [
      "has data outside of its memory",
      `(memory 1) (data (i32.const 65536) "x") ${start("")}`,
      /no instance can be made/,
    ],
  ];
  for (const [what, artifact, text] of cases) {
    test(what, async () => {
      const message = await refusal(artifact);
      assert.ok(message.startsWith(invalid), message);
      assert.match(message, text);
    });
  }

  test("begins with more memory than its machine gives", async () => {
    const message = await refusal(`(memory 512) ${start("")}`, { memoryBytesMax: 64 * 2 ** 20 });
    assert.match(message, /its memory begins with 33554432 bytes, and a function has 16777216 here$/);
  });
});
