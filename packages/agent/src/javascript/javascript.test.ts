import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TestAgent } from "../testing/test-agent.ts";

async function withFunction(
  source: string,
  run: (agent: TestAgent) => Promise<void>,
  options: Parameters<TestAgent["deploy"]>[1] = {},
): Promise<void> {
  await using agent = await TestAgent.start();
  const deployed = await agent.deploy(source, options);
  assert.deepEqual(
    { accepted: deployed.accepted, message: deployed.message },
    { accepted: true, message: undefined },
  );
  await run(agent);
}

/** The reply as text, or the failure in JSON. */
function text(answer: Awaited<ReturnType<TestAgent["call"]>>): string {
  return typeof answer === "string" ? answer : JSON.stringify(answer);
}

async function refusal(source: string): Promise<string> {
  await using agent = await TestAgent.start();
  const deployed = await agent.deploy(source);
  assert.equal(deployed.accepted, false);
  return deployed.message ?? "";
}

describe("forms of a function", () => {
  test("Go Nex's form gets subject and payload and answers JSON", async () => {
    await withFunction(
      "(subject, payload) => ({ subject, text: String.fromCharCode(...payload) });",
      async (agent) => {
        assert.equal(await agent.call("hi", "a.b"), '{"subject":"a.b","text":"hi"}');
      },
    );
  });

  test("module.exports", async () => {
    await withFunction("let n = 0; module.exports = () => ++n;", async (agent) => {
      assert.deepEqual([await agent.call(), await agent.call()], ["1", "2"]);
    });
  });

  test("module.exports as a bundler writes a default export", async () => {
    await withFunction(
      "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = () => 7;",
      async (agent) => {
        assert.equal(await agent.call(), "7");
      },
    );
  });

  test("an ES module's default export, sync and async", async () => {
    await withFunction("let n = 0; export default (s, p) => { n += 1; return n; }", async (agent) => {
      assert.deepEqual([await agent.call(), await agent.call()], ["1", "2"]);
    });
    const source =
      "export default async (s, p) => { await new Promise((r) => setTimeout(r, 5)); return new TextDecoder().decode(p); }";
    await withFunction(source, async (agent) => {
      assert.equal(await agent.call("later"), '"later"');
    });
  });

  test("an async function in Go Nex's form", async () => {
    await withFunction("async (subject) => subject", async (agent) => {
      assert.equal(await agent.call("", "x.y"), '"x.y"');
    });
  });

  test("a syntax error refuses the deploy with its line", async () => {
    assert.match(await refusal("(subject) => {\n  return ]\n}"), /syntax error: .*\(line 2\)/);
    assert.match(await refusal("export default () => {\n  return ]\n}"), /syntax error: Unexpected token/);
  });

  test("a source without a function is refused with what it is instead", async () => {
    assert.match(await refusal("42"), /the value of the script is of the type number/);
    assert.match(await refusal("module.exports = {}"), /module.exports is of the type undefined/);
    assert.match(await refusal("export const a = 1"), /the default export is of the type undefined/);
  });

  test("a source that throws at its start is refused with the reason", async () => {
    assert.match(await refusal("throw new Error('not today')"), /can't be evaluated: Error: not today/);
  });

  test("require and import are refused with what to do", async () => {
    assert.match(await refusal("module.exports = require('fs')"), /Cannot require "fs".*bundle/);
    assert.match(await refusal("import fs from 'fs'; export default () => 1"), /Cannot import "fs".*bundle/);
  });

  test("bytes that are no UTF-8 and a source over the limit are refused", async () => {
    await using agent = await TestAgent.start();
    assert.match((await agent.deploy(Buffer.from([0xff, 0xfe]))).message ?? "", /not UTF-8/);
    await using other = await TestAgent.start();
    assert.match(
      (await other.deploy("() => 1", { sourceBytesMax: 3 })).message ?? "",
      /source file \(7 bytes\) exceeds/,
    );
  });
});

describe("replies", () => {
  const cases: [returned: string, reply: string][] = [
    ["undefined", ""],
    ["null", "null"],
    ["'text'", '"text"'],
    ["new Uint8Array([104, 105])", "hi"],
    ["new Uint8Array([104, 105]).buffer", "hi"],
    ["new Uint8Array([0, 104, 105]).subarray(1)", "hi"],
    ["[1, { a: true }]", '[1,{"a":true}]'],
    ["Promise.resolve(3)", "3"],
    ["({ then(done) { done(4); } })", "4"],
  ];
  test("bytes go out raw, undefined as nothing, all else as JSON", async () => {
    for (const [returned, reply] of cases) {
      await withFunction(`() => (${returned})`, async (agent) =>
        assert.equal(await agent.call(), reply, returned),
      );
    }
  });

  test("binary survives both ways, every byte value, over one frame and over many (B14)", async () => {
    await withFunction("(s, p) => p", async (agent) => {
      for (const size of [256, 65_521, 65_522, 1_000_000]) {
        const bytes = Buffer.alloc(size, Buffer.from(Array.from({ length: 256 }, (_, at) => at)));
        const answer = await agent.send("s", bytes).answer;
        assert.ok("reply" in answer && answer.reply.equals(bytes), `${size} bytes`);
      }
    });
  });

  test("the payload is an instance of the function's own Uint8Array", async () => {
    await withFunction("(s, p) => [p instanceof Uint8Array, p instanceof Object]", async (agent) => {
      assert.equal(await agent.call(), "[true,true]");
    });
  });

  test("what has no JSON is an error of the caller's", async () => {
    for (const value of ["1n", "() => 1", "Symbol('s')", "class {}", "({ toJSON() {} })"]) {
      await withFunction(`() => (${value})`, async (agent) => {
        assert.match(JSON.stringify(await agent.call()), /500.*can't be a reply: TypeError/, value);
      });
    }
  });

  test("a throw, a rejection and a thenable that throws answer at once (B12)", async () => {
    const throwing = [
      "throw new TypeError('boom')",
      "return Promise.reject('boom')",
      "return { then() { throw new Error('boom'); } }",
    ];
    for (const body of throwing) {
      await withFunction(`() => { ${body} }`, async (agent) => {
        const failure = await agent.call();
        assert.ok(typeof failure === "object" && failure.code === 500 && failure.text.includes("boom"), body);
      });
    }
  });
});

describe("globals: fresh", () => {
  test("no state passes between calls", async () => {
    const source = `
      var counter = (typeof counter === "undefined" ? 0 : counter) + 1;
      globalThis.seen = (globalThis.seen ?? 0) + 1;
      implicit = typeof implicit;
      const fixed = 1; let local = 0; class Local {}
      (subject) => [counter, seen, implicit, ++local]`;
    await withFunction(source, async (agent) => {
      for (let call = 0; call < 3; call++) assert.equal(await agent.call(), '[1,1,"undefined",1]');
    });
  });

  test("intrinsics can't be changed for the next call, and replaced globals come back", async () => {
    const source = `(subject) => {
      try { Array.prototype.push = () => "owned"; } catch {}
      try { Object.prototype.polluted = 1; } catch {}
      try { JSON.stringify = () => "owned"; } catch {}
      const had = [typeof polluted, typeof console.log, typeof Map];
      console = undefined; Map = 1; delete globalThis.Set;
      return [...had, typeof Set, [1].push(2)];
    }`;
    await withFunction(source, async (agent) => {
      assert.equal(await agent.call(), '["undefined","function","function","undefined",2]');
      assert.equal(await agent.call(), '["undefined","function","function","undefined",2]');
    });
  });

  test("the override mistake is repaired", async () => {
    const source = `() => {
      "use strict";
      class Named extends Error { constructor(m) { super(m); this.name = "Named"; this.message = m + "!"; } }
      function Old(m) { this.message = m; } Old.prototype = Object.create(Error.prototype); Old.prototype.constructor = Old; Old.prototype.toString = () => "old";
      const o = {}; o.toString = () => "mine"; o.constructor = 5; o.valueOf = 6;
      const f = () => 1; f.toString = () => "f";
      class List extends Array {} const l = new List(); l.push = () => "pushed";
      return [String(new Named("a")), String(new Old("x")), String(o), o.constructor, String(f), l.push()];
    }`;
    await withFunction(source, async (agent) => {
      assert.equal(await agent.call(), '["Named: a!","old","mine",5,"f","pushed"]');
    });
  });

  test("timers of a call end with it", async () => {
    await withFunction("(s) => { setInterval(() => console.log('late'), 1); return 1; }", async (agent) => {
      assert.equal(await agent.call(), "1");
      await withFunction(
        "async () => new Promise((r) => setTimeout(r, 30))",
        async (other) => void (await other.call()),
      );
      assert.deepEqual(agent.logs, []);
    });
  });

  test("calls run one at a time", async () => {
    const source =
      "async () => { const was = globalThis.busy; globalThis.busy = true; await new Promise((r) => setTimeout(r, 2)); return was === undefined; }";
    await withFunction(source, async (agent) => {
      const answers = await Promise.all(Array.from({ length: 5 }, () => agent.call()));
      assert.deepEqual(answers, Array(5).fill("true"));
    });
  });

  test("a module can be asked to be fresh", async () => {
    for (const source of ["let n = 0; export default () => ++n", "let n = 0; module.exports = () => ++n"]) {
      await withFunction(
        source,
        async (agent) => assert.deepEqual([await agent.call(), await agent.call()], ["1", "1"]),
        {
          globals: "fresh",
        },
      );
    }
  });
});

describe("globals: keep", () => {
  test("a script can be asked to keep its state", async () => {
    await withFunction(
      "let n = 0; () => ++n",
      async (agent) => assert.deepEqual([await agent.call(), await agent.call()], ["1", "2"]),
      { globals: "keep" },
    );
  });

  test("async calls overlap up to the concurrency, and no further", async () => {
    const source = `let now = 0, most = 0;
      export default async () => { most = Math.max(most, ++now); await new Promise((r) => setTimeout(r, 5)); now--; return most; }`;
    await withFunction(
      source,
      async (agent) => {
        const answers = await Promise.all(Array.from({ length: 12 }, () => agent.call()));
        assert.equal(Math.max(...answers.map(Number)), 4);
      },
      { concurrency: 4 },
    );
  });

  test("a great many waiting calls are answered in order", async () => {
    await withFunction(
      "let n = 0; export default () => n++",
      async (agent) => {
        const answers = await Promise.all(Array.from({ length: 5000 }, () => agent.call()));
        assert.deepEqual(
          answers.map(Number),
          Array.from({ length: 5000 }, (_, at) => at),
        );
      },
      { concurrency: 1 },
    );
  });

  test("a cancelled call gives its place to the next", async () => {
    await withFunction(
      "export default (s) => s === 'hang' ? new Promise(() => {}) : 1",
      async (agent) => {
        const hanging = agent.send("hang");
        hanging.answer.catch(() => undefined);
        const { FrameType } = await import("@nexengine/protocol/agent");
        const next = agent.send("go");
        agent.connection.send(FrameType.cancel, 0, hanging.id);
        const answer = await next.answer;
        assert.ok("reply" in answer);
      },
      { concurrency: 1 },
    );
  });
});

describe("what a function finds", () => {
  test("env, text and URL tools, timers, crypto and its own Math.random", async () => {
    const source = `export default async () => {
      const url = new URL("../x?q=1#h", "https://u:p@example.com:8080/a/b/");
      url.searchParams.append("w", "a b");
      const bytes = crypto.getRandomValues(new Uint8Array(8));
      await new Promise((r) => setImmediate(r));
      return {
        env: env.GREETING, frozen: Object.isFrozen(env),
        text: new TextDecoder().decode(new TextEncoder().encode("ä☃")),
        href: url.href, host: url.host, params: [...new URLSearchParams("a=1&b=2&a=3").getAll("a")],
        random: Math.random() !== Math.random(), bytes: bytes.some(Boolean), uuid: /^[0-9a-f-]{36}$/.test(crypto.randomUUID()),
      };
    }`;
    await withFunction(
      source,
      async (agent) =>
        assert.deepEqual(JSON.parse(text(await agent.call())), {
          env: "hello",
          frozen: true,
          text: "ä☃",
          href: "https://u:p@example.com:8080/a/x?q=1&w=a+b#h",
          host: "example.com:8080",
          params: ["1", "3"],
          random: true,
          bytes: true,
          uuid: true,
        }),
      { environment: { GREETING: "hello" } },
    );
  });

  test("console goes to the logs with its level (B14)", async () => {
    const source =
      "() => { console.log('one', { a: [1] }); console.warn('two'); console.error(new Error('three').message); console.debug('four') }";
    await withFunction(source, async (agent) => {
      await agent.call();
      assert.deepEqual(agent.logs, [
        { level: 1, text: "one { a: [ 1 ] }" },
        { level: 2, text: "two" },
        { level: 3, text: "three" },
        { level: 0, text: "four" },
      ]);
    });
  });

  test("nothing of the agent's realm", async () => {
    const attempts = [
      "this.constructor.constructor('return typeof process')()",
      "console.log.constructor('return typeof process')()",
      "setTimeout.constructor('return typeof process')()",
      "payload.constructor.constructor('return typeof process')()",
      "payload.buffer.constructor.constructor('return typeof process')()",
      "new TextEncoder().encode('x').buffer.constructor.constructor('return typeof process')()",
      "[...new URLSearchParams('a=1')][0].constructor.constructor('return typeof process')()",
      "env.constructor === undefined ? 'undefined' : 'found'",
      "(() => { try { new URL('no') } catch (e) { return e.constructor.constructor('return typeof process')() } })()",
      "(() => { try { new TextDecoder('no') } catch (e) { return e.constructor.constructor('return typeof process')() } })()",
      "import('fs').catch((e) => e.constructor.constructor('return typeof process')())",
      "(() => { const deep = () => { try { console.log(1); deep(); } catch (e) { return e.constructor.constructor('return typeof process')() } }; return deep() ?? 'undefined' })()",
      "typeof require + typeof module + typeof process",
    ];
    for (const attempt of attempts) {
      await withFunction(`(subject, payload) => ${attempt}`, async (agent) => {
        assert.match(text(await agent.call("x")), /^"(undefined)+"$/, attempt);
      });
    }
  });

  test("an error in a timer and an unhandled rejection are logged, and the function goes on", async () => {
    const source =
      "export default () => { setTimeout(() => { throw new Error('in a timer') }, 0); Promise.reject(new Error('unheard')); return 1; }";
    await withFunction(source, async (agent) => {
      assert.equal(await agent.call(), "1");
      const logged = (pattern: RegExp): boolean => agent.logs.some((line) => pattern.test(line.text));
      while (!logged(/Unhandled rejection: Error: unheard/) || !logged(/Uncaught Error: in a timer/))
        await agent.call();
    });
  });
});

describe("the third argument", () => {
  const block = "NATS/1.0\r\nX-One: a\r\nX-Two: b\r\nx-two:  c \r\n\r\n";

  test("shows the headers of the request", async () => {
    await using agent = await TestAgent.start();
    await agent.deploy(`(s, p, { headers }) => [
      headers.get("x-one"), headers.getAll("X-TWO"), headers.has("no"), headers.get("no"), [...headers],
    ]`);
    const { answer } = agent.send("a", "", block);
    const { reply } = (await answer) as { reply: Buffer };
    assert.deepEqual(JSON.parse(reply.toString()), [
      "a",
      ["b", "c"],
      false,
      null,
      [
        ["X-One", "a"],
        ["X-Two", "b"],
        ["x-two", "c"],
      ],
    ]);
    const without = (await agent.send("a").answer) as { reply: Buffer };
    assert.deepEqual(JSON.parse(without.reply.toString()), [null, [], false, null, []]);
  });

  test("sets headers of the reply, of an async one too", async () => {
    for (const how of ["", "async "]) {
      await using agent = await TestAgent.start();
      await agent.deploy(`${how}(s, p, call) => {
        call.replyHeaders.set("A", "1");
        call.replyHeaders.append("B", "2");
        call.replyHeaders.append("B", 3);
        call.replyHeaders.set("a", "☃");
        call.replyHeaders.delete("none");
        return "x";
      }`);
      const answer = (await agent.send("a").answer) as { headers: string; reply: Buffer };
      assert.equal(answer.headers, "NATS/1.0\r\nB: 2\r\nB: 3\r\na: ☃\r\n\r\n");
      const none = (await agent.send("a").answer) as { headers: string };
      assert.equal(none.headers, answer.headers, "each call has its own");
    }
  });

  test("refuses names and values that would end a header, and too many of them", async () => {
    await using agent = await TestAgent.start();
    await agent.deploy(`(s, p, { replyHeaders }) => {
      const failed = [];
      for (const [name, value] of [["a b", "x"], ["", "x"], ["a:", "x"], ["a", "x\\r\\nb: c"], ["a", "\\0"]]) {
        try { replyHeaders.set(name, value); } catch (error) { failed.push(error.name); }
      }
      if (p.length > 0) replyHeaders.set("a", "x".repeat(20000));
      return failed.length;
    }`);
    const answer = (await agent.send("a").answer) as { headers: string; reply: Buffer };
    assert.deepEqual([answer.headers, answer.reply.toString()], ["", "5"]);
    const { failure } = (await agent.send("a", "x").answer) as { failure: { code: number; text: string } };
    assert.equal(failure.code, 500);
    assert.match(failure.text, /headers have over 16384 bytes/);
  });

  test("passes nothing from one call to the next, and nothing of the agent's", async () => {
    await using agent = await TestAgent.start();
    await agent.deploy(`(s, p, call) => {
      const seen = [call.constructor.name, typeof call.kept, typeof call.constructor.kept];
      try { call.constructor.kept = 1; } catch {}
      try { call.headers.constructor.prototype.get = () => "forged"; } catch {}
      try { Object.getPrototypeOf(call).kept = 1; } catch {}
      seen.push(call.headers.get("X-One"));
      seen.push(call.constructor.constructor("return typeof process")());
      return seen;
    }`);
    for (let round = 0; round < 2; round++) {
      const { reply } = (await agent.send("a", "", block).answer) as { reply: Buffer };
      assert.deepEqual(JSON.parse(reply.toString()), [
        "CallContext",
        "undefined",
        "undefined",
        "a",
        "undefined",
      ]);
    }
  });
});
