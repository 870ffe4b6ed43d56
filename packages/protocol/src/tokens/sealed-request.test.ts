import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "../errors.ts";
import { createKey, curveKeyOfSeed } from "./keys.ts";
import { environmentBytesMax, openEnvironment, openJson, sealJson } from "./sealed-environment.ts";
import { openRequest, sealRequest } from "./sealed-request.ts";

const sender = curveKeyOfSeed(createKey("curve").seed);
const node = curveKeyOfSeed(createKey("curve").seed);
const mine = { issuer: createKey("account").publicKey, namespace: "default", name: "echo" };
const secrets = { PASSWORD: "swordfish", ü: "☃" };
const open = (sealed: string, who = mine, key = node) => openRequest(sealed, who, key, sender.publicKey);
const sealedOf = (content: unknown): string => sealJson(content, 1_000_000, sender, node.publicKey);

test("sealRequest seals an environment for one workload, and Go Nex's member holds null", () => {
  const { environment, sealed } = sealRequest(mine, secrets, sender, node.publicKey);
  assert.deepEqual(open(sealed), { version: 1, ...mine, environment: secrets });
  assert.equal(openJson(environment, 100, node, sender.publicKey), null);
  assert.deepEqual(openEnvironment(environment, node, sender.publicKey), {});
});

test("openRequest refuses a box for another issuer, namespace or name, without quoting its content", () => {
  const { sealed } = sealRequest(mine, secrets, sender, node.publicKey);
  for (const other of [
    { issuer: createKey("account").publicKey },
    { namespace: "Default" },
    { namespace: "other" },
    { name: "echo2" },
  ]) {
    assert.throws(
      () => open(sealed, { ...mine, ...other }),
      (error: unknown) =>
        error instanceof NexError &&
        error.code === "sealed_for_another" &&
        !/swordfish|PASSWORD|default|echo/.test(error.message),
    );
  }
});

test("openRequest refuses a box for another node, and a box of a plain environment", () => {
  const { sealed, environment } = sealRequest(mine, secrets, sender, node.publicKey);
  const stranger = curveKeyOfSeed(createKey("curve").seed);
  for (const attempt of [() => open(sealed, mine, stranger), () => open(environment)]) {
    assert.throws(attempt, { code: "environment_unreadable" });
  }
});

test("openRequest reads connections, and refuses unknown members", () => {
  const content = { version: 1, ...mine, environment: null };
  const connection = { nats_url: "nats://demo", nats_user_jwt: "j", nats_user_seed: "s" };
  const opened = open(sealedOf({ ...content, trigger_connection: connection, host_services: connection }));
  assert.deepEqual(opened.environment, {});
  assert.deepEqual([opened.trigger_connection, opened.host_services], [connection, connection]);
  for (const bad of [
    { ...content, version: 2 },
    { ...content, extra: "swordfish" },
    { ...content, issuer: undefined },
    { ...content, environment: { A: 1 } },
    { ...content, environment: { "A=B": "swordfish" } },
    { ...content, environment: [] },
    { ...content, trigger_connection: "nats://swordfish" },
    null,
    [],
  ]) {
    assert.throws(
      () => open(sealedOf(bad)),
      (error: unknown) =>
        error instanceof NexError &&
        error.code === "environment_unreadable" &&
        !error.message.includes("swordfish"),
    );
  }
});

test("sealRequest accepts the largest environment, and refuses one that a node would refuse", () => {
  const sized = (bytes: number) => ({ A: "x".repeat(bytes) });
  const { sealed } = sealRequest(mine, sized(environmentBytesMax - 8), sender, node.publicKey);
  assert.equal(open(sealed).environment["A"]?.length, environmentBytesMax - 8);
  assert.throws(() => sealRequest(mine, sized(environmentBytesMax), sender, node.publicKey), {
    code: "request_too_large",
  });
  assert.throws(() => sealRequest(mine, {}, sender, mine.issuer), { code: "key_invalid" });
});
