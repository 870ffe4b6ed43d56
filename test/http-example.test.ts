/** The example of HTTP triggers, as its README says: its configuration, its deploy, its requests, and what they print. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startTestNexus } from "@nexengine/testing";
import { ask, askUntil } from "./support/http.ts";
import { NexHome } from "./support/nex.ts";

const folder = join(import.meta.dirname, "../examples/http");

test("the example answers as its README says", async () => {
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  const { http } = JSON.parse(readFileSync(join(folder, "node.json"), "utf8"));
  await using nexus = await startTestNexus({ config: { http: { ...http, listen: "127.0.0.1:0" } } });
  using home = new NexHome();
  const [, file = "", on = ""] = /^\.\/nex devrun (\S+) --on "([^"]*)"$/m.exec(readme) ?? [];
  const { status, stderr } = await home.run(["devrun", file, "--on", on], {
    env: { NATS_URL: nexus.server.url },
  });
  assert.equal(status, 0, stderr);
  const lines = /```json\n([^`]*)\n```/.exec(readme)?.[1]?.split("\n") ?? [];
  const requests = [
    ...readme.matchAll(/^curl -s (?:-X (\S+) --data (\S+) )?http:\/\/127\.0\.0\.1:8080(\S+)$/gm),
  ];
  assert.equal(requests.length, lines.length);
  for (const [at, [, method = "GET", body, path = ""]] of requests.entries()) {
    const options = { method, ...(body === undefined ? {} : { body }) };
    if (at === 0) await askUntil(nexus.node, path, 200, options);
    assert.equal((await ask(nexus.node, path, options)).body, lines[at]);
  }
});
