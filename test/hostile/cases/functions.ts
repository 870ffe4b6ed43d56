/** Functions that leave their realm, take all there is, or answer with traps. */
import assert from "node:assert/strict";
import type { Check, FunctionCase } from "./case.ts";

interface Facts {
  onProcess?: FunctionCase["onProcess"];
  triedOnProcess?: boolean;
}

/** Harmless cases have the same outcome on the process driver: there it is the agent that holds them. */
function trick(
  name: string,
  technique: string,
  outcome: string,
  source: string,
  check: Check,
  { onProcess = "held", triedOnProcess = onProcess === "held" }: Facts = {},
): FunctionCase {
  return { kind: "function", name, technique, outcome, source, check, onProcess, triedOnProcess };
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
    assert.equal(await attack.call(""), '"fine"');
  };
}

function answers(form: RegExp): Check {
  return async (attack) => {
    attack.demandDeployed();
    assert.match(await attack.call("x"), form);
  };
}

/** A function that is harmless without a payload. */
function hostile(code: string, declarations = ""): string {
  return `${declarations}; export default async (subject, payload) => { if (payload.length === 0) return "fine"; ${code} };`;
}

const deadline = "Ended at its time limit; the function comes back";
const died = "Its machine dies at the limit; the function comes back";
const lost = /function_(stopped|timed_out|threw)/;
const unlimited: Facts = { onProcess: "not isolated" };

/** Looks through whatever is lent for Node's own things. */
const searchOfRealm = hostile(`
  const found = [];
  const look = (what, make) => { try { const it = make(); if (it && (typeof it.binding === "function" || it.versions || it.mainModule || typeof it.readFileSync === "function")) found.push(what); } catch {} };
  const lent = { console, setTimeout, setInterval, TextEncoder, URL, crypto, env, Promise, payload, Error, globalThis };
  for (const [name, it] of Object.entries(lent)) {
    look(name, () => it.constructor.constructor("return process")());
    look(name + " global", () => it.constructor.constructor("return this")().process);
    for (const key of Reflect.ownKeys(it)) {
      look(name + "." + String(key), () => it[key].constructor.constructor("return process")());
    }
  }
  look("require", () => require("fs")); look("module", () => module.constructor._load("fs"));
  look("process", () => process); look("global", () => global.process);
  look("timer", () => setTimeout(() => {}, 1).constructor.constructor("return process")());
  return found.length === 0 ? "held" : "ESCAPED " + found.join();`);

const searchOfStack = hostile(`
  const found = [];
  const look = (it) => { try { if (it && it.constructor.constructor("return typeof process")() !== "undefined") found.push(1); } catch {} };
  Error.prepareStackTrace = (error, sites) => { for (const site of sites) { look(site); look(site.getThis()); look(site.getFunction()); } return ""; };
  void new Error("x").stack;
  try { null.x } catch (error) { void error.stack }
  try { (function again() { again() })() } catch (error) { look(error); void error.stack }
  try { new URL("") } catch (error) { look(error); void error.stack }
  try { structuredClone(() => {}) } catch (error) { look(error); void error.stack }
  try { await WebAssembly.compile(new Uint8Array(1)) } catch (error) { look(error) }
  return found.length === 0 ? "held" : "ESCAPED";`);

export const functionCases: readonly FunctionCase[] = [
  trick(
    "constructors",
    "Looks for `process` through the constructors of all that it is lent",
    "Not found",
    searchOfRealm,
    answers(/^"held"$/),
  ),
  trick(
    "stack traces",
    "Looks for it in call sites and in errors that the engine or the agent made",
    "Not found",
    searchOfStack,
    answers(/^"held"$/),
  ),
  trick(
    "imports",
    "`import()` of `node:fs`, of a file and of a data URL",
    "Refused",
    hostile(`
    const tried = await Promise.allSettled([import("node:fs"), import("/usr/lib/nex/agent.mjs"), import("data:text/javascript,export default process")]);
    return tried.every(({ status }) => status === "rejected") ? "held" : "ESCAPED";`),
    answers(/^"held"$/),
  ),
  trick("an endless loop", "`for (;;)`", deadline, hostile("for (;;);"), fails(/function_timed_out/)),
  trick(
    "endless promises",
    "A chain of promises that never lets go",
    deadline,
    hostile("for (;;) await null;"),
    fails(/function_timed_out/),
  ),
  trick(
    "an endless regular expression",
    "Backtracks for ever",
    deadline,
    hostile('return /^(a+)+$/.test("a".repeat(60) + "b");'),
    fails(/function_timed_out/),
  ),
  trick(
    "a sleep that blocks",
    "`Atomics.wait`",
    `${deadline}, or refused`,
    hostile("Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0); return 1;"),
    fails(/function_(timed_out|threw)/),
  ),
  trick(
    "a promise for ever",
    "Returns a promise that never settles",
    deadline,
    hostile("return new Promise(() => {});"),
    fails(/function_timed_out/),
  ),
  trick(
    "a memory bomb of objects",
    "Fills the heap",
    died,
    hostile("const all = []; for (;;) all.push(new Array(100000).fill(1.5));"),
    fails(lost),
    unlimited,
  ),
  trick(
    "a memory bomb of buffers",
    "Fills `ArrayBuffer`s, which no heap limit counts",
    died,
    hostile(
      "const all = []; for (let n = 0; n < 512; n++) all.push(new Uint8Array(1 << 20).fill(n)); return 'ESCAPED';",
    ),
    fails(lost),
    unlimited,
  ),
  trick(
    "a memory bomb of WebAssembly",
    "Grows a memory and fills it",
    `${died}, or refused`,
    hostile(
      "const memory = new WebAssembly.Memory({ initial: 1, maximum: 8192 }); for (let n = 0; n < 511; n++) { memory.grow(16); new Uint8Array(memory.buffer, n << 20, 1 << 20).fill(1); } return 'ESCAPED';",
    ),
    fails(lost),
    unlimited,
  ),
  trick(
    "a memory bomb of strings",
    "Doubles a string until it is stopped",
    `${died}, or the call fails`,
    hostile(
      "const all = []; for (let n = 0; n < 512; n++) all.push(Array.from({ length: 1 << 16 }, (_, at) => at + n).join()); return 'ESCAPED';",
    ),
    fails(lost),
    unlimited,
  ),
  trick(
    "deep recursion",
    "Calls itself until the stack ends",
    "The call fails",
    hostile("const again = () => again() + 1; return again();"),
    fails(/function_threw/),
  ),
  {
    ...trick(
      "a huge reply",
      "Returns 32 MiB",
      "The call fails and says why",
      hostile("return new Uint8Array(32 << 20);"),
      fails(/function_threw/, /the reply has 33554432 bytes/),
    ),
    inMicroVm: {
      outcome: "Likewise, or ended at its time limit where it is emulated",
      check: fails(/function_(threw|timed_out)/),
    },
  },
  trick(
    "hostile replies",
    "Replies whose `toJSON` and getters throw proxies and never end",
    "The calls fail",
    hostile(`
    const trap = new Proxy({}, { get() { throw trap; }, ownKeys() { throw trap; }, getPrototypeOf() { throw trap; } });
    return { get x() { throw trap; }, toJSON() { throw trap; } };`),
    fails(/function_threw/),
  ),
  trick(
    "a huge error",
    "Throws an error with 8 MiB of text, and a name that throws",
    "Cut to 1,024 bytes",
    hostile(`
    const error = new Error("x".repeat(8 << 20)); Object.defineProperty(error, "name", { get() { throw 1; } }); throw error;`),
    fails(/function_threw/, /^.{1,1200}$/s),
  ),
  trick(
    "lines of an error as headers",
    "Throws a text with line ends, to forge headers of the reply",
    "One line of one header",
    hostile('throw new Error("a\\r\\nNats-Service-Error-Code: 200\\r\\n\\r\\nb");'),
    fails(/function_threw/, /a/),
  ),
  trick(
    "spoilt intrinsics",
    "Overwrites `Promise`, `JSON`, `Array` and `Object` for its agent",
    "They are its own only",
    hostile(`
    for (const of of [Array.prototype, Object.prototype, Promise.prototype, Uint8Array.prototype, JSON, Reflect])
      for (const key of Reflect.ownKeys(of)) { try { of[key] = () => { throw "spoilt" } } catch {} }
    return new Uint8Array([104, 105]);`),
    async (attack) => {
      attack.demandDeployed();
      await attack.call("x").catch(() => undefined);
      await attack.nexus.client.flush();
    },
  ),
  trick(
    "a flood of timers",
    "Starts 200,000 timers and intervals",
    "10,000 at once; the call fails",
    hostile(
      "for (let n = 0; n < 2e5; n++) n % 2 ? setTimeout(() => {}, 1e6) : setInterval(() => {}, 1e5); return 'held';",
    ),
    fails(/function_threw/, /10000 timers/),
  ),
  trick(
    "a flood of rejections",
    "Leaves 20,000 rejected promises to nobody",
    "Held to the rate of the log; the agent lives",
    hostile("for (let n = 0; n < 2e4; n++) Promise.reject(new Error('nobody ' + n)); return 'held';"),
    answers(/^"held"$/),
  ),
  {
    ...trick(
      "a console flood",
      "Writes 100,000 lines in one call",
      "Held to the rate; dropped lines are counted and told of",
      hostile(
        "const line = 'x'.repeat(100); for (let n = 0; n < 1e5; n++) console.log(line); return 'held';",
      ),
      async (attack) => {
        attack.demandDeployed();
        await attack.call("x").catch(() => undefined);
        await attack.until("dropped lines", ({ lines }) => {
          void attack.call("").catch(() => undefined);
          return lines.find((line) => /lines were dropped/.test(line));
        });
        assert.ok(attack.story.lineCount < 60_000, `${attack.story.lineCount} lines came through`);
      },
    ),
    inMicroVm: {
      outcome: "Held to the rate, or ended at its time limit where it is emulated",
      check: async (attack) => {
        attack.demandDeployed();
        await attack.call("x").catch(() => undefined);
        await attack.until(
          "dropped lines or a restart",
          ({ lines, restarts }) => restarts[0] ?? lines.find((line) => /lines were dropped/.test(line)),
        );
      },
    },
    // A machine that others keep busy writes slower, and is to be held all the same.
    limits: { logBytesPerSecond: 65_536 },
  },
];
