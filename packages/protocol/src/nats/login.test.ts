import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { NexError } from "../errors.ts";
import { vectors } from "../fixtures/vectors.ts";
import { connectionFailure, connectionOptions, defaultServer, withoutSecrets } from "./login.ts";

const secret = "hunter2";

/** Answers of the authenticator, or of the list of them, to a nonce. */
function answers(login: Parameters<typeof connectionOptions>[0]): object {
  const { authenticator } = connectionOptions(login);
  const list = authenticator === undefined ? [] : [authenticator].flat();
  return Object.assign({}, ...list.map((make) => make("nonce")));
}

test("connectionOptions has defaults, and reconnects forever", () => {
  const options = connectionOptions({});
  assert.deepEqual(options.servers, [defaultServer]);
  assert.equal(options.maxReconnectAttempts, -1);
  assert.ok(!("authenticator" in options));
  assert.ok(!("name" in options));
  assert.ok(!("inboxPrefix" in options));
});

test("connectionOptions uses the given servers, name, inbox prefix and timeout", () => {
  const options = connectionOptions({
    servers: ["a", "b"],
    name: "me",
    inboxPrefix: "my.inbox",
    timeoutMs: 7,
  });
  assert.deepEqual(
    [options.servers, options.name, options.inboxPrefix, options.timeout],
    [["a", "b"], "me", "my.inbox", 7],
  );
});

test("connectionOptions logs in with user and password, token, or nkey", () => {
  assert.deepEqual(answers({ user: "u", password: secret }), { user: "u", pass: secret });
  assert.deepEqual(answers({ token: secret }), { auth_token: secret });
  const nkey = answers({ nkeySeed: ` ${vectors.issuerSeed}\n` });
  assert.equal("nkey" in nkey && nkey.nkey, vectors.issuer);
});

test("connectionOptions logs in with the content of a credentials file", () => {
  const credentials = `-----BEGIN NATS USER JWT-----
${vectors.token}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${vectors.issuerSeed}
------END USER NKEY SEED------
`;
  const sent = answers({ credentials });
  assert.equal("jwt" in sent && sent.jwt, vectors.token);
});

test("withoutSecrets removes user, password and token from a URL, whatever characters they contain", () => {
  const cases: [string, string][] = [
    ["nats://127.0.0.1:4222", "nats://127.0.0.1:4222"],
    [`nats://u:${secret}@host:4222`, "nats://host:4222"],
    [`tls://${secret}@host`, "tls://host"],
    [`nats://u:a@${secret}@host`, "nats://host"],
    [`nats://u:a/${secret}@host`, "nats://host"],
    [`u:${secret}@host:4222`, "host:4222"],
    [`nats://u:${secret}@a,nats://u:${secret}@b`, "nats://b"],
    ["host:4222", "host:4222"],
  ];
  for (const [url, text] of cases) assert.equal(withoutSecrets(url), text, url);
});

test("connectionFailure names the servers and the reason, and no secret", () => {
  const cause = new Error("connect ECONNREFUSED 127.0.0.1:4222");
  const login = {
    servers: [`nats://u:${secret}@a:1`, "nats://b"],
    user: "u",
    password: secret,
    token: secret,
  };
  const error = connectionFailure(login, cause);
  assert.equal(error.code, "connection_failed");
  assert.equal(
    error.message,
    "Cannot connect to NATS at nats://a:1, nats://b: connection refused, no server listens there",
  );
  assert.equal(error.cause, cause);
  assert.ok(!inspect(error).includes(secret));
  assert.match(
    connectionFailure({}, new Error("'Authorization Violation'")).message,
    /Authorization Violation/,
  );
});

test("connectionFailure recognizes a refused connection by the texts of the system and the NATS client", () => {
  for (const text of ["connect ECONNREFUSED 127.0.0.1:4222", "connection refused"]) {
    assert.match(
      connectionFailure({}, new Error(text)).message,
      /: connection refused, no server listens there$/,
    );
  }
});

test("connectionFailure drops a cause that contains the server's URL", () => {
  const url = `nats://u:${secret}@[::bad`;
  let cause: unknown;
  try {
    new URL(url);
  } catch (error) {
    cause = error;
  }
  assert.ok(inspect(cause).includes(secret));
  const error = connectionFailure({ servers: [url] }, cause);
  assert.equal(error.message, "Cannot connect to NATS at nats://[::bad: Invalid URL");
  assert.ok(!inspect(error).includes(secret), inspect(error));
});

test("connectionOptions and connectionFailure show no secret when a login can't be read", () => {
  for (const login of [{ credentials: `${secret} is no file` }, { nkeySeed: `SU${secret}` }]) {
    try {
      answers(login);
      assert.fail("nothing was thrown");
    } catch (cause) {
      const error = connectionFailure(login, cause);
      assert.ok(error instanceof NexError);
      assert.ok(!inspect(error).includes(secret), inspect(error));
    }
  }
});

test("connectionOptions logs in with the credentials in a URL, unless another login is given", () => {
  const servers = ["nats://plain:1", "nats://u%40x:a%3Ab:c@host:4222"];
  assert.deepEqual(answers({ servers }), { user: "u@x", pass: "a:b:c" });
  assert.deepEqual(connectionOptions({ servers }).servers, ["nats://plain:1", "nats://host:4222"]);
  assert.deepEqual(answers({ servers: [`nats://${secret}@host`] }), { auth_token: secret });
  assert.deepEqual(answers({ servers: ["nats://100%@host"] }), { auth_token: "100%" });
  assert.deepEqual(answers({ servers, user: "me", password: "p" }), { user: "me", pass: "p" });
  assert.deepEqual(answers({ servers, token: "t" }), { auth_token: "t" });
});

test("connectionOptions logs in with a user JWT, with a seed or as a bearer token", () => {
  const sent = answers({ userJwt: ` ${vectors.token}\n`, nkeySeed: vectors.issuerSeed });
  assert.equal("jwt" in sent && sent.jwt, vectors.token);
  assert.ok("sig" in sent && sent.sig !== "");
  const bearer = answers({ userJwt: vectors.token });
  assert.equal("jwt" in bearer && bearer.jwt, vectors.token);
});
