import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePorts } from "./ports-file.ts";

const file = (url: string) => JSON.stringify({ nats: [url], monitoring: [], cluster: [] });

test("parsePorts takes the client address, with a host that this machine can reach", () => {
  assert.deepEqual(parsePorts(file("nats://127.0.0.1:4222"), "127.0.0.1"), {
    url: "nats://127.0.0.1:4222",
    port: 4222,
  });
  assert.deepEqual(parsePorts(file("tls://10.0.0.5:4333"), "0.0.0.0"), {
    url: "tls://127.0.0.1:4333",
    port: 4333,
  });
  assert.deepEqual(parsePorts(file("nats://[::1]:4222"), "::1"), { url: "nats://[::1]:4222", port: 4222 });
});

test("parsePorts waits for the rest of a file that isn't whole yet", () => {
  for (const text of ["", '{"nats":["nats://127', "{}", '{"nats":[]}', "null", '{"nats":["nonsense"]}']) {
    assert.equal(parsePorts(text, "127.0.0.1"), undefined, text);
  }
});
