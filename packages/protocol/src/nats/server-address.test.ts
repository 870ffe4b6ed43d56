import assert from "node:assert/strict";
import { test } from "node:test";
import { parseServer } from "./server-address.ts";

test("parseServer reads a URL like the NATS client", () => {
  const cases: [url: string, host: string, port: number][] = [
    ["nats://A.example", "a.example", 4222],
    ["tls://a.example:80", "a.example", 80],
    ["127.0.0.1:1", "127.0.0.1", 1],
    ["nats://[2001:db8::1]:5", "2001:db8::1", 5],
    ["nats://[::ffff:10.0.0.1]:5", "10.0.0.1", 5],
    ["wss://a", "a", 443],
  ];
  for (const [url, host, port] of cases) assert.deepEqual(parseServer(url), { host, port }, url);
  for (const url of ["", "nats://", "nats://a b"]) assert.equal(parseServer(url), undefined, url);
});
