/** Host services of functions, through real machines, a real server and a real web server. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { startTestNexus, type TestNexus } from "../packages/testing/src/nexus.ts";
import { unmetSandboxRequirement } from "../packages/testing/src/node.ts";

/** A function that runs what it is sent. */
const runner = `(subject, payload) => {
  const run = (0, eval)("(" + new TextDecoder().decode(payload) + ")");
  try { return run(); } catch (error) { return { name: error.name, code: error.code, message: error.message }; }
}`;
const laterRunner = `export default async (subject, payload) => {
  const run = (0, eval)("(" + new TextDecoder().decode(payload) + ")");
  try { return await run(); } catch (error) { return { name: error.name, code: error.code, message: error.message }; }
}`;

const kinds = ["process", "container"] as const;

for (const sandbox of kinds) {
  const unmet = sandbox === "process" ? undefined : await unmetSandboxRequirement(sandbox);
  describe(`host services (${sandbox})`, { skip: unmet ?? false }, () => {
    let nexus: TestNexus;
    before(async () => {
      nexus = await startTestNexus({ sandbox, config: { machine_pool_size: 2 } });
      await nexus.function(runner, { name: "run" });
      await nexus.function(laterRunner, { name: "later" });
    });
    after(() => nexus[Symbol.asyncDispose]());
    const run = async (source: string): Promise<unknown> => {
      const text = await nexus.call("run", source);
      return text === "" ? undefined : JSON.parse(text);
    };
    const later = async (source: string): Promise<unknown> => {
      const text = await nexus.call("later", source);
      return text === "" ? undefined : JSON.parse(text);
    };

    test("kv keeps every byte, and tells what is not there", async () => {
      assert.equal(
        await run(`() => {
          const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
          hostServices.kv.set("bytes", bytes);
          const back = this.hostServices.kv.get("bytes");
          return back instanceof Uint8Array && back.length === 256 && back.every((byte, at) => byte === at);
        }`),
        true,
      );
      assert.deepEqual(
        await run('() => { hostServices.kv.set("text", "☃"); return hostServices.kv.keys().sort(); }'),
        ["bytes", "text"],
      );
      assert.equal(await run('() => new TextDecoder().decode(hostServices.kv.get("text"))'), "☃");
      assert.equal(await run('() => hostServices.kv.delete("text")'), undefined);
      assert.deepEqual(await run('() => hostServices.kv.get("text")'), {
        name: "HostServiceError",
        code: 404,
        message: 'there is no key "text"',
      });
      for (const [source, message] of [
        ["hostServices.kv.get()", "key is required"],
        ['hostServices.kv.set("a")', "key and value are required"],
        ['hostServices.kv.get("a b")', /can't be a key/],
        ['hostServices.kv.set("a", 5)', /must be a Uint8Array/],
      ] as const) {
        const failure = (await run(`() => ${source}`)) as { message: string };
        assert.match(failure.message, message instanceof RegExp ? message : new RegExp(message));
      }
    });

    test("the bucket says whose it is, and has the reference's limits", async () => {
      await run('() => hostServices.kv.set("k", "v")');
      const kv = await new Kvm(nexus.client.connection).open("hs_default_run_kv");
      assert.equal(Buffer.from((await kv.get("k"))?.value ?? []).toString(), "v");
      const { streamInfo } = (await kv.status()) as unknown as {
        streamInfo: { config: { description: string; max_bytes: number } };
      };
      assert.equal(streamInfo.config.description, "nex:default/run");
      assert.equal(streamInfo.config.max_bytes, 524_288);
      const failure = (await run('() => hostServices.kv.set("large", new Uint8Array(600000))')) as {
        message: string;
      };
      assert.match(failure.message, /maximum bytes exceeded/);
    });

    test("objects: put, get, list and delete", async () => {
      const info = (await run(
        '() => hostServices.objectStore.put("o", Uint8Array.from({ length: 200000 }, (_, at) => at % 251))',
      )) as Record<string, unknown>;
      assert.equal(info["name"], "o");
      assert.equal(info["size"], 200_000);
      assert.match(String(info["digest"]), /^SHA-256=/);
      assert.equal(
        await run('() => hostServices.objectStore.get("o").every((byte, at) => byte === at % 251)'),
        true,
      );
      const list = (await run("() => hostServices.objectStore.list()")) as { name: string }[];
      assert.deepEqual(
        list.map(({ name }) => name),
        ["o"],
      );
      await run('() => hostServices.objectStore.delete("o")');
      assert.deepEqual(await run("() => hostServices.objectStore.list()"), []);
      assert.deepEqual(await run('() => hostServices.objectStore.get("o")'), {
        name: "HostServiceError",
        code: 404,
        message: 'there is no object "o"',
      });
    });

    test("messages: publish, request, requestMany", async () => {
      const { connection } = nexus.client;
      const got = Promise.withResolvers<Uint8Array>();
      connection.subscribe("hs.told", { max: 1, callback: (_, { data }) => got.resolve(data) });
      for (const suffix of ["a", "b", "c"])
        connection.subscribe("hs.ask", {
          callback: (_, message) => void message.respond(`${message.string()}${suffix}`),
        });
      await connection.flush();
      assert.equal(
        await run('() => hostServices.messaging.publish("hs.told", Uint8Array.of(0, 200, 255))'),
        undefined,
      );
      assert.deepEqual(Buffer.from(await got.promise), Buffer.from([0, 200, 255]));
      assert.match(
        String(await run('() => new TextDecoder().decode(hostServices.messaging.request("hs.ask", "x"))')),
        /^x[abc]$/,
      );
      assert.deepEqual(
        await run(
          '() => hostServices.messaging.requestMany("hs.ask", "x", { max: 3 }).map((one) => new TextDecoder().decode(one)).sort()',
        ),
        ["xa", "xb", "xc"],
      );
      assert.deepEqual(await run('() => hostServices.messaging.request("hs.nobody", "x")'), {
        name: "HostServiceError",
        code: 503,
        message: "nobody answers on hs.nobody",
      });
      connection.subscribe("hs.silent", { callback: () => undefined });
      await connection.flush();
      assert.deepEqual(
        await run('() => hostServices.messaging.request("hs.silent", "x", { timeoutMs: 50 })'),
        {
          name: "HostServiceError",
          code: 408,
          message: "no answer on hs.silent within 50 ms",
        },
      );
      for (const subject of ["$JS.API.INFO", "$NEX.LAMEDUCK.x", "$SYS.x"]) {
        const failure = (await run(
          `() => hostServices.messaging.publish(${JSON.stringify(subject)}, "x")`,
        )) as {
          code: number;
        };
        assert.equal(failure.code, 403, subject);
      }
      for (const subject of ["a.*", ">", "a..b", "", "a b"]) {
        const failure = (await run(
          `() => hostServices.messaging.publish(${JSON.stringify(subject)}, "x")`,
        )) as {
          code: number;
        };
        assert.equal(failure.code, 400, subject);
      }
    });

    test("the same with promises, many at once", async () => {
      assert.deepEqual(
        await later(`async () => {
          const { kv } = hostServices.promises;
          await Promise.all(Array.from({ length: 40 }, (_, at) => kv.set("p" + at, String(at))));
          const all = await Promise.all(Array.from({ length: 40 }, (_, at) => kv.get("p" + at)));
          return all.map((bytes) => Number(new TextDecoder().decode(bytes))).reduce((sum, one) => sum + one);
        }`),
        780,
      );
      assert.deepEqual(await later('async () => hostServices.promises.kv.get("none")'), {
        name: "HostServiceError",
        code: 404,
        message: 'there is no key "none"',
      });
    });

    test("a blocking call and others do not get in each other's way", async () => {
      const { connection } = nexus.client;
      connection.subscribe("hs.slow", {
        callback: (_, message) => void setTimeout(() => message.respond("slow"), 150),
      });
      await connection.flush();
      const answers = await Promise.all([
        run('() => new TextDecoder().decode(hostServices.messaging.request("hs.slow", ""))'),
        later("() => 1"),
        run("() => 2"),
      ]);
      assert.deepEqual(answers, ["slow", 1, 2]);
    });

    test("functions can't change what others find, nor reach the agent", async () => {
      assert.deepEqual(
        await run(`() => {
          const tried = [];
          for (const change of [
            () => { "use strict"; hostServices.kv = 1; },
            () => { "use strict"; hostServices.kv.get = 1; },
            () => { "use strict"; hostServices.kv.get.x = 1; },
            () => { "use strict"; delete hostServices.promises; },
          ]) try { change(); tried.push("done"); } catch { tried.push("refused"); }
          const { constructor } = hostServices.kv.get;
          tried.push(constructor("return typeof process + typeof require")());
          return tried;
        }`),
        ["refused", "refused", "refused", "refused", "undefinedundefined"],
      );
    });

    test("a bucket of another pair of the same name is not opened", async () => {
      await new Kvm(nexus.client.connection).create("hs_default_taken_kv", {
        description: "nex:default_taken/kv",
      });
      await nexus.function(runner, { name: "taken" });
      const answer = JSON.parse(await nexus.call("taken", '() => hostServices.kv.get("x")'));
      assert.equal(answer.code, 403);
      assert.match(answer.message, /bucket_of_another/);
    });

    test("a bucket of the reference's, which says nothing, is opened", async () => {
      const kv = await new Kvm(nexus.client.connection).create("hs_default_old_kv");
      await kv.put("x", "from before");
      await new Objm(nexus.client.connection).create("hs_default_old_obj");
      await nexus.function(runner, { name: "old" });
      assert.equal(
        JSON.parse(await nexus.call("old", '() => new TextDecoder().decode(hostServices.kv.get("x"))')),
        "from before",
      );
      assert.deepEqual(JSON.parse(await nexus.call("old", "() => hostServices.objectStore.list()")), []);
    });
  });
}

describe("host services: http", () => {
  let web: Server;
  let nexus: TestNexus;
  let base: string;
  before(async () => {
    web = createServer((request, response) => {
      const url = new URL(request.url ?? "", "http://x");
      if (url.pathname === "/redirect") {
        response.writeHead(302, { location: url.searchParams.get("to") ?? "" }).end();
        return;
      }
      if (url.pathname === "/gzip") {
        response
          .writeHead(200, { "content-encoding": "gzip", "x-two": ["a", "b"] })
          .end(gzipSync("zipped ☃"));
        return;
      }
      if (url.pathname === "/bomb") {
        response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(64 * 1024 * 1024)));
        return;
      }
      if (url.pathname === "/never") return;
      const chunks: Buffer[] = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        const { method, headers } = request;
        const body = Buffer.concat(chunks).toString("latin1");
        response.writeHead(201).end(
          JSON.stringify({
            method,
            url: request.url,
            type: headers["content-type"],
            body,
            auth: headers.authorization,
          }),
        );
      });
    });
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    const { port } = web.address() as AddressInfo;
    base = `http://127.0.0.1:${port}`;
    nexus = await startTestNexus({ config: { http_allow: [`127.0.0.1:${port}`] } });
    await nexus.function(runner, { name: "run" });
  });
  after(async () => {
    await nexus[Symbol.asyncDispose]();
    web.closeAllConnections();
    await new Promise((resolve) => web.close(resolve));
  });
  const run = async (source: string): Promise<Record<string, unknown>> =>
    JSON.parse(await nexus.call("run", source));

  test("methods, bodies, headers, queries", async () => {
    const got = await run(
      `() => hostServices.http.get("${base}/a?b=c", { headers: { Authorization: "x" } })`,
    );
    assert.equal(got["status"], 201);
    assert.deepEqual(JSON.parse(String(got["response"])), {
      method: "GET",
      url: "/a?b=c",
      body: "",
      auth: "x",
    });
    for (const [name, method] of [
      ["post", "POST"],
      ["put", "PUT"],
      ["patch", "PATCH"],
    ]) {
      const { response } = await run(
        `() => hostServices.http.${name}("${base}/p?q=1", Uint8Array.of(65, 200))`,
      );
      assert.deepEqual(JSON.parse(String(response)), {
        method,
        url: "/p?q=1",
        type: "text/plain",
        body: "A\u00c8",
      });
    }
    for (const name of ["delete", "del"]) {
      const { response } = await run(`() => hostServices.http.${name}("${base}/p")`);
      assert.equal(JSON.parse(String(response)).method, "DELETE");
    }
    assert.equal((await run(`() => hostServices.http.head("${base}/h")`))["response"], "");
    const zipped = await run(`() => hostServices.http.get("${base}/gzip")`);
    assert.equal(zipped["response"], "zipped ☃");
    assert.equal((zipped["headers"] as Record<string, string>)["X-Two"], "a, b");
  });

  test("addresses of the inside are denied, also behind a redirect and in every spelling (S8)", async () => {
    const denied = [
      "http://127.0.0.1:1/",
      "http://localhost:1/",
      "http://127.1:1/",
      "http://2130706433:1/",
      "http://0x7f.1:1/",
      "http://[::1]:1/",
      "http://[::ffff:127.0.0.1]:1/",
      "http://[::ffff:7f00:1]:1/",
      "http://0.0.0.0:1/",
      "http://10.0.0.1/",
      "http://172.16.0.1/",
      "http://192.168.1.1/",
      "http://169.254.169.254/latest/meta-data/",
      "http://100.64.0.1/",
      "http://[fd00::1]/",
      "http://[fe80::1]/",
      "http://[64:ff9b::7f00:1]/",
      `${base}/redirect?to=${encodeURIComponent("http://127.0.0.1:1/")}`,
      `${base}/redirect?to=${encodeURIComponent("http://169.254.169.254/")}`,
      `${base}/redirect?to=${encodeURIComponent("http://localhost:1/")}`,
    ];
    for (const url of denied) {
      const failure = await run(`() => hostServices.http.get(${JSON.stringify(url)})`);
      assert.equal(failure["code"], 403, `${url} ${JSON.stringify(failure)}`);
    }
  });

  test("redirects are followed to a limit; a secret is not told to another host", async () => {
    const once = await run(`() => hostServices.http.get("${base}/redirect?to=/there")`);
    assert.equal(JSON.parse(String(once["response"])).url, "/there");
    const turned = await run(`() => hostServices.http.post("${base}/redirect?to=/there", "x")`);
    assert.equal(JSON.parse(String(turned["response"])).method, "GET");
    let url = "/end";
    for (let hops = 0; hops < 6; hops++) url = `/redirect?to=${encodeURIComponent(url)}`;
    const failure = await run(`() => hostServices.http.get("${base}${url}")`);
    assert.match(String(failure["message"]), /over 5 redirects/);
  });

  test("what is wrong, silent or too large is an error of that call", async () => {
    for (const [source, code] of [
      ["hostServices.http.get()", 400],
      ['hostServices.http.get("not a url")', 400],
      ['hostServices.http.get("file:///etc/passwd")', 400],
      [`hostServices.http.get("${base}/never", { timeoutMs: 80 })`, 408],
      [`hostServices.http.get("${base}/bomb")`, 413],
      [`hostServices.http.get("${base}/", { headers: { Host: "other" } })`, 400],
      [`hostServices.http.get("${base}/", { headers: { "a": "b\\r\\nc: d" } })`, 400],
      [`hostServices.http.get("${base}/", { timeoutMs: -1 })`, 400],
    ] as const) {
      const failure = await run(`() => ${source}`);
      assert.equal(failure["code"], code, `${source} ${JSON.stringify(failure)}`);
    }
  });
});

test("a service that is switched off says so; settings name buckets and limits", async () => {
  await using nexus = await startTestNexus({
    config: {
      host_services: {
        services: {
          http: { enabled: false },
          // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the configuration's own form
          kv: { config: { bucket_name: "of-${Namespace}-${WORKLOAD_NAME}", max_bytes: 2_000_000 } },
          objectstore: { config: { jit_provision: false } },
          messaging: { config: { request_timeout_ms: 60 } },
        },
      },
    },
  });
  await nexus.function(runner, { name: "run" });
  const run = async (source: string): Promise<Record<string, unknown>> =>
    JSON.parse(await nexus.call("run", source));
  assert.match(String((await run('() => hostServices.http.get("http://x")'))["message"]), /switched off/);
  assert.match(String((await run("() => hostServices.objectStore.list()"))["message"]), /there is no bucket/);
  assert.deepEqual(
    await run('() => { hostServices.kv.set("k", new Uint8Array(600000)); return hostServices.kv.keys(); }'),
    ["k"],
  );
  assert.ok(await new Kvm(nexus.client.connection).open("of-default-run"));
  nexus.client.connection.subscribe("silent", { callback: () => undefined });
  await nexus.client.flush();
  assert.match(
    String((await run('() => hostServices.messaging.request("silent", "")'))["message"]),
    /within 60 ms/,
  );
});

test("a namespace has settings of its own, instead of the node's", async () => {
  await using nexus = await startTestNexus({
    config: {
      host_services: { services: { kv: { enabled: false } } },
      namespaces: {
        default: {},
        shop: { host_services: { services: { messaging: { enabled: false } } } },
      },
    },
  });
  await nexus.function("() => { try { hostServices.kv.keys(); } catch (error) { return error.message; } }", {
    name: "a",
  });
  assert.match(await nexus.call("a"), /switched off/);
  const shop = nexus.inNamespace("shop");
  const { issuer, publisher } = nexus;
  await shop.deploy({
    ...{ issuer, publisher, name: "b", type: "v8", triggerSubjects: ["b"] },
    artifact: {
      bytes: Buffer.from(
        '() => { hostServices.kv.set("a", "b"); try { hostServices.messaging.publish("a", ""); } catch (error) { return error.message; } }',
      ),
    },
  });
  assert.match(await nexus.call("b"), /messaging is switched off/);
});

test("a call that waits for a host service ends at its limit, and its machine lives on (B13)", async () => {
  await using nexus = await startTestNexus({ tuning: { callTimeMs: 1_500, deadlineGraceMs: 5_000 } });
  nexus.client.connection.subscribe("silent", { callback: () => undefined });
  await nexus.client.flush();
  await nexus.function(
    `globalThis.begun ??= Math.random(); module.exports = (s, p) => {
      if (p.length > 0) hostServices.messaging.request("silent", "");
      return begun;
    };`,
    { name: "f" },
  );
  const first = await nexus.call("f");
  await assert.rejects(nexus.call("f", "wait"), { code: "function_timed_out" });
  assert.equal(await nexus.call("f"), first, "the same machine answers");
});

test("a function's calls of host services end with it (W5)", async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  const asked = Promise.withResolvers<void>();
  connection.subscribe("silent", { callback: () => asked.resolve() });
  await nexus.client.flush();
  const deployment = await nexus.function(
    '() => hostServices.messaging.request("silent", "", { timeoutMs: 2000 })',
    { name: "f" },
  );
  const call = nexus.call("f");
  call.catch(() => undefined);
  await asked.promise;
  await nexus.stop(deployment);
  await assert.rejects(call);
  // The node is there, and has taken nothing amiss.
  await nexus.function("() => 1", { name: "g" });
  assert.equal(await nexus.call("g"), "1");
});
