import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "../errors.ts";
import { isContextName, parseNatsContext } from "./context.ts";

test("parseNatsContext reads contexts of the nats CLI, and ignores unknown members", () => {
  const content = JSON.stringify({
    ...{ description: "", url: "nats://a,nats://b", user: "u", password: "p", creds: "", tls_first: true },
    ...{ color_scheme: "red", windows_cert_store: "", jetstream_domain: "hub" },
  });
  const context = parseNatsContext(content, "x");
  assert.deepEqual(
    [context.url, context.user, context.creds, context.tls_first, context.jetstream_domain, context.ca],
    ["nats://a,nats://b", "u", "", true, "hub", ""],
  );
});

test("parseNatsContext names the context and the refused member, never a value", () => {
  const cases: [content: string, message: RegExp][] = [
    ['{"nsc": "nsc://hunter2"}', /NATS context "x": this version does not support its "nsc"/],
    ['{"socks_proxy": "hunter2"}', /its "socks_proxy"/],
    ['{"password": hunter2', /it is not JSON$/],
    ['{"tls_first": "hunter2"}', /tls_first: /],
    ['"hunter2"', /the file: /],
  ];
  for (const [content, message] of cases) {
    assert.throws(
      () => parseNatsContext(content, "x"),
      (error) => {
        assert.ok(error instanceof NexError);
        assert.equal(error.code, "config_invalid");
        assert.match(error.message, message);
        return !error.message.includes("hunter2");
      },
    );
  }
});

test("isContextName refuses names that lead out of the folder", () => {
  for (const name of ["a", "prod.eu", "a b", "ü"]) assert.ok(isContextName(name), name);
  for (const name of ["", "..", "a..b", "a/b", "a\\b", "/a", "a\0"]) assert.ok(!isContextName(name), name);
});
