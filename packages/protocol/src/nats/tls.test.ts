import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionFailure, connectionOptions } from "./login.ts";
import { tlsOptions } from "./tls.ts";

test("tlsOptions leaves TLS to the server unless a URL or an option requires it", () => {
  assert.equal(tlsOptions(["nats://a", "b:4222"], undefined), undefined);
  assert.deepEqual(tlsOptions(["TLS://a"], undefined), {});
  assert.deepEqual(tlsOptions(["a"], { cert: "c", key: "k", ca: "a", first: true }), {
    ...{ cert: "c", key: "k", ca: "a", handshakeFirst: true },
  });
  assert.equal("tls" in connectionOptions({ servers: ["nats://a"] }), false);
  assert.deepEqual(connectionOptions({ servers: ["tls://a"] }).tls, {});
});

test("tlsOptions checks the certificate against the IP address of a server without a name", () => {
  const checks = (servers: string[]): boolean => "checkServerIdentity" in (tlsOptions(servers, {}) ?? {});
  for (const url of ["tls://127.0.0.1", "tls://127.0.0.1:4222", "tls://[::1]:4222", "tls://u:p@10.0.0.1"])
    assert.ok(checks([url]), url);
  for (const url of ["tls://localhost", "tls://127.0.0.1.example.org:4222"]) assert.ok(!checks([url]), url);
  assert.ok(!checks(["tls://127.0.0.1", "tls://name"]));
});

test("connectionFailure gives advice about certificates", () => {
  const failure = (cause: Error, tls = {}): string => {
    const { message, advice } = connectionFailure({ servers: ["tls://a"], tls }, cause);
    return `${message} ${advice}`;
  };
  const coded = (code: string): Error => Object.assign(new Error("x"), { code });
  assert.match(failure(coded("UNABLE_TO_VERIFY_LEAF_SIGNATURE")), /authority that is trusted.*--tlsca/);
  assert.match(failure(coded("DEPTH_ZERO_SELF_SIGNED_CERT")), /authority that is trusted/);
  assert.match(failure(coded("CERT_HAS_EXPIRED")), /Renew/);
  assert.match(failure(new Error("server does not support 'tls'")), /it does not offer TLS/);
  assert.match(failure(new Error("timeout")), /--tlscert/);
  assert.doesNotMatch(failure(new Error("timeout"), { cert: "c", key: "k" }), /--tlscert/);
});
