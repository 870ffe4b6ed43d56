/** Credentials that `nex keys tenant` makes, on a server whose accounts are JWTs. */
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import type { NatsServer } from "@nexengine/provision";
import { echoFunctionPath, startTestNatsServer, startTestNode } from "@nexengine/testing";
import { accountsConfig, TestAccount } from "./support/nats-accounts.ts";
import { type Ended, NexHome } from "./support/nex.ts";

const home = new NexHome();
const nodes = new TestAccount("NODES");
const acme = new TestAccount("ACME");
const signing = createKey("account");

const services = ["PING", "PING.*", "AUCTION", "AUCTION.why", "WPING.acme", "WPING.acme.*"].concat(
  ["INFO", "DEPLOY", "STOP", "TRIGGER"].map((verb) => `${verb}.acme.*`),
);
const streams = ["events.acme.*", "logs.acme.*.*.*"];
const crossing = [
  ...services.map((name) => ({ name, subject: `$NEX.${name}`, type: "service" })),
  ...streams.map((name) => ({ name, subject: `$NEX.${name}`, type: "stream" })),
];

let server: NatsServer;
before(async () => {
  const exports = crossing.map((one) => (one.type === "service" ? { ...one, response_type: "Stream" } : one));
  const imports = crossing.map((one) => ({ ...one, account: nodes.key.publicKey }));
  const config = accountsConfig([
    [nodes, { exports, signingKeys: [signing.publicKey] }],
    [acme, { imports }],
  ]);
  server = await startTestNatsServer({ config });
  home.write("acme.nk", acme.seed);
  home.write("nodes-signing.nk", signing.seed);
});
after(async () => {
  await server.stop();
  home[Symbol.dispose]();
});

const path = (name: string): string => join(home.path, name);
const run = (...args: string[]): Promise<Ended> =>
  home.run([...args, "-s", server.url, "--namespace", "acme"]);

async function mint(file: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run("keys", "tenant", path(file), ...args);
  assert.equal(status, 0, stderr);
  assert.equal(statSync(path(file)).mode & 0o777, 0o600);
  return stdout.trim();
}

describe("nex keys tenant", () => {
  test("makes credentials with which a node, a namespace's workloads, an issuer and an operator do their work, and no other", async () => {
    const ofNodes = ["--key", path("nodes-signing.nk"), "--account", nodes.key.publicKey];
    const ofAcme = ["--key", path("acme.nk")];
    assert.match(await mint("node.creds", "--role", "node", ...ofNodes), /^U[A-Z2-7]{55}$/);
    await mint("operator.creds", "--role", "operator", ...ofNodes);
    await mint("issuer.creds", ...ofAcme, "--days", "1");
    await mint("workloads.creds", "--role", "workloads", ...ofAcme);
    await using _ = await startTestNode({
      server: server.url,
      login: { credentials: readFileSync(path("node.creds"), "utf8") },
      config: { namespaces: { acme: { connection: { creds: path("workloads.creds") } } } },
    });
    const issuer = (...args: string[]): Promise<Ended> => run(...args, "--creds", path("issuer.creds"));
    const deployed = await issuer("devrun", echoFunctionPath);
    assert.equal(deployed.status, 0, deployed.stderr);
    assert.equal((await issuer("request", "acme.echo", "hello")).stdout, "hello");
    assert.match((await run("ps", "--creds", path("operator.creds"))).stdout, /echo/);
    for (const other of ["operator", "workloads"]) {
      assert.notEqual(
        (await run("devrun", echoFunctionPath, "--creds", path(`${other}.creds`))).status,
        0,
        other,
      );
    }
    const elsewhere = await home.run([
      ...["devrun", echoFunctionPath, "-s", server.url, "--namespace", "other"],
      ...["--creds", path("issuer.creds")],
    ]);
    assert.notEqual(elsewhere.status, 0);
    assert.equal((await issuer("stop", "echo")).status, 0);
  });

  test("writes over no file, and signs with no key but an account's", async () => {
    home.write("there.creds", "x");
    const there = await run("keys", "tenant", path("there.creds"), "--key", path("acme.nk"));
    assert.equal(there.status, 2);
    assert.equal(readFileSync(path("there.creds"), "utf8"), "x");
    home.write("user.nk", createKey("user").seed);
    const cases: string[][] = [
      ["--key", path("user.nk")],
      ["--key", path("acme.nk"), "--account", "x"],
      ["--key", path("acme.nk"), "--node-id", nodes.key.publicKey],
      ["--key", path("acme.nk"), "--subject", "$JS.API.>"],
      ["--key", path("acme.nk"), "--subject", "a b"],
    ];
    for (const args of cases) {
      const { status, stderr } = await run("keys", "tenant", path("new.creds"), ...args);
      assert.equal(status, 2, args.join(" "));
      assert.doesNotMatch(stderr, /S[AU][A-Z2-7]{56}/);
    }
  });
});
