/** Captured, altered and forged control messages have no effect. Real nodes, and the client's own messages. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { connectNex } from "@nexengine/client";
import type { NexNode } from "@nexengine/node";
import { createKey, signerOfSeed } from "@nexengine/protocol";
import {
  encodeClaims,
  requestDigest,
  sealEnvironment,
  sealJson,
  signDeployToken,
  signEndorsement,
  signStopToken,
} from "@nexengine/protocol/tokens";
import {
  newSigner,
  startTestNatsServer,
  startTestNexus,
  startTestNode,
  type TestDeployOptions,
  TestNexus,
} from "@nexengine/testing";
import { type Captured, capture, refusedCode, send, workloadCount } from "./support/captured.ts";
import type { NodeProcessOptions } from "./support/node-process.ts";

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

let nexus: TestNexus;
before(async () => {
  nexus = await startTestNexus();
});
after(() => nexus[Symbol.asyncDispose]());

/** A deploy as our client makes it, signed and not sent yet. */
async function unsentDeploy(): Promise<Captured> {
  const captured = await capture(nexus, "$NEX.DEPLOY.>", () => nexus.function("() => 1", { name: "forged" }));
  return resigned(captured, {});
}

/** The same deploy with other members, signed anew by the test's issuer. */
function resigned(
  { subject, body }: Captured,
  members: object,
  namespace = "default",
  issuer = nexus.issuer,
): Captured {
  const request = { ...body, ...members };
  const token = signDeployToken(
    { name: "forged", sha256: hashOf(body), request: requestDigest(namespace, JSON.stringify(request)) },
    issuer,
    Date.now(),
  );
  return { subject, body: { ...request, workload_jwt: token } };
}

function hashOf(body: Record<string, unknown>): string {
  const claims = JSON.parse(
    Buffer.from(String(body["workload_jwt"]).split(".")[1] ?? "", "base64url").toString(),
  );
  return claims.nats.hash;
}

/** Changes claims of a token and leaves its signature. */
function tampered(token: string, change: (claims: Record<string, never>) => void): string {
  const [head = "", body = "", signature = ""] = token.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url").toString());
  change(claims);
  return [head, Buffer.from(JSON.stringify(claims)).toString("base64url"), signature].join(".");
}

describe("a bound deploy token (S2)", () => {
  test("is good for the request that it was signed for", async () => {
    const { subject, body } = await unsentDeploy();
    const { error } = await send(nexus, subject, body);
    assert.equal(error, undefined);
  });

  const changes: [string, object][] = [
    ["other arguments", { argv: ["--evil"] }],
    ["another artifact", { location: { Scheme: "nats", Host: "EVIL", Path: "/x" } }],
    ["another trigger", { trigger_subjects: ["stolen"] }],
    ["another environment", { environment: "eGt2MQ==" }],
    ["a member namespace", { namespace: "default" }],
    ["triggers led to another server", { trigger_connection: { nats_url: "nats://elsewhere" } }],
    ["host services led to another user", { host_services: { nats_user_jwt: "x", nats_user_seed: "x" } }],
    ["a member that nobody knows", { whatever: null }],
    ["a second token in another case", { Workload_Jwt: null }],
    ["an addition taken away", { nex: undefined }],
    ["an addition changed", { nex: { version: 1, requires: [] } }],
    ["other limits", { nex: { version: 1, requires: ["bound-claims"], limits: { call_time_ms: 60_000 } } }],
    ["essential turned on", { essential: true, type: "native", trigger_subjects: [] }],
  ];
  for (const [what, change] of changes) {
    test(`is refused with ${what}`, async () => {
      const { subject, body } = await unsentDeploy();
      const running = await workloadCount(nexus);
      const code = await refusedCode(nexus, { subject, body: { ...body, ...change } });
      assert.match(code, /^(token_for_another|request_not_canonical)$/);
      assert.equal(await workloadCount(nexus), running);
      assert.equal(
        (await send(nexus, subject, body)).error,
        undefined,
        "the attempt did not use the token up",
      );
    });
  }

  test("is refused in another namespace, and for another node's id", async () => {
    const { subject, body } = await unsentDeploy();
    const elsewhere = { subject: subject.replace(".default.", ".other."), body };
    assert.equal(await refusedCode(nexus, elsewhere), "token_for_another");
    const other = resigned({ subject, body }, { target_node: createKey("node").publicKey });
    assert.equal(await refusedCode(nexus, other), "token_for_another");
  });

  test("does not care about what a node adds that tries again", async () => {
    const { subject, body } = await unsentDeploy();
    const again = { ...body, retry_count: 4, retried_at: "2026-11-24T02:16:14.842621623Z" };
    assert.equal((await send(nexus, subject, again)).error, undefined);
  });

  test("is refused for a body that has no one meaning", async () => {
    const { subject, body } = await unsentDeploy();
    for (const text of [
      JSON.stringify(body).replace(/^\{/, '{"argv":["a"],"ARGV":["b"],'),
      JSON.stringify(body).replace(/^\{/, `{"description":"x",`),
      JSON.stringify({ ...body, description: "_" }).replace('"_"', '"\\ud800"'),
    ]) {
      assert.equal((await send(nexus, subject, text)).nex?.code, "request_not_canonical");
    }
  });

  test("is refused once it has expired, and when it holds too long or not yet", async () => {
    const { subject, body } = await unsentDeploy();
    const request = requestDigest("default", JSON.stringify(body));
    const tokenOf = (issuedAt: number, expires: number | undefined, id = "one"): string =>
      encodeClaims(
        {
          subject: "forged",
          issuedAt,
          ...(expires === undefined ? {} : { expires }),
          id,
          data: { hash: hashOf(body), nex: { version: 1, use: "deploy", request } },
        },
        nexus.issuer,
      );
    const now = nowSeconds();
    for (const token of [
      tokenOf(now - 200, now - 100),
      tokenOf(now, now + 3_600),
      tokenOf(now, undefined),
      tokenOf(now + 300, now + 360),
      tokenOf(now, now + 60, ""),
    ]) {
      assert.equal(
        await refusedCode(nexus, { subject, body: { ...body, workload_jwt: token } }),
        "token_invalid",
      );
    }
    const good = { ...body, workload_jwt: tokenOf(now, now + 600) };
    assert.equal((await send(nexus, subject, good)).error, undefined);
  });

  test("is refused when anything in it is changed", async () => {
    const { subject, body } = await unsentDeploy();
    const token = String(body["workload_jwt"]);
    for (const change of [
      (claims: Record<string, never>) => Object.assign(claims, { sub: "other" }),
      (claims: Record<string, never>) => Object.assign(claims, { exp: nowSeconds() + 500 }),
      (claims: Record<string, never>) => Object.assign(claims, { nats: { version: 2, hash: hashOf(body) } }),
    ]) {
      const altered = { ...body, workload_jwt: tampered(token, change) };
      assert.equal(await refusedCode(nexus, { subject, body: altered }), "token_invalid");
    }
  });
});

describe("a token made for one use", () => {
  test("passes for no other: a node's public proof, or a stop, is no deploy token", async () => {
    const { subject, body } = await unsentDeploy();
    const info = await nexus.client.info(nexus.node.id);
    const deployment = await nexus.function("() => 1");
    const stop = await capture(nexus, "$NEX.STOP.>", () => nexus.stop(deployment));
    for (const token of [info.nex?.xkey_proof, stop.body["workload_jwt"]]) {
      const forged = { subject, body: { ...body, workload_jwt: token } };
      assert.equal(await refusedCode(nexus, forged), "token_wrong_use");
    }
  });

  test("a deploy token stops nothing", async () => {
    let id = "";
    const captured = await capture(nexus, "$NEX.DEPLOY.>", async () => {
      ({ id } = await nexus.function("() => 1"));
    });
    const subject = captured.subject.replace("DEPLOY", "STOP");
    const body = { workload_id: id, workload_jwt: captured.body["workload_jwt"] };
    assert.equal(await refusedCode(nexus, { subject, body }), "token_wrong_use");
  });
});

describe("a bound stop token (S3)", () => {
  test("stops the one workload that it names, in the second of its deploy too", async () => {
    const first = await nexus.function("() => 1", { name: "twin" });
    const second = await nexus.function("() => 2", { name: "twin" });
    const node = nexus.node.id;
    const facts = { name: "twin", workloadId: first.id, node, namespace: "default" };
    const subject = `$NEX.STOP.default.${node}`;
    const body = {
      workload_id: first.id,
      workload_jwt: signStopToken(facts, nexus.issuer, Date.now()),
      target_node: node,
    };
    const redirected = { subject, body: { ...body, workload_id: second.id } };
    assert.equal(await refusedCode(nexus, redirected), "token_for_another");
    for (const other of [{ node: createKey("node").publicKey }, { namespace: "other" }]) {
      const token = signStopToken({ ...facts, ...other }, nexus.issuer, Date.now());
      const forged = { subject, body: { ...body, workload_jwt: token } };
      assert.equal(await refusedCode(nexus, forged), "token_for_another");
    }
    assert.equal((await send(nexus, subject, body)).error, undefined);
    const { machines } = await nexus.client.info(nexus.node.id);
    assert.ok(machines.some(({ id }) => id === second.id));
    assert.equal(await refusedCode(nexus, { subject, body }), "no_such_workload");
  });

  test("is refused from another namespace as if there were no workload", async () => {
    const deployment = await nexus.function("() => 1");
    const { subject, body } = await capture(nexus, "$NEX.STOP.>", () =>
      nexus.client.stop({ ...stopOf(deployment), issuer: newSigner() }).catch(() => undefined),
    );
    assert.equal(await refusedCode(nexus, { subject, body }), "stop_issuer_mismatch");
    const elsewhere = { subject: subject.replace(".default.", ".other."), body };
    assert.equal(await refusedCode(nexus, elsewhere), "no_such_workload");
  });
});

const stopOf = ({ nodeId, id, name }: { nodeId: string; id: string; name: string }) => ({
  nodeId,
  workloadId: id,
  name,
});

describe("a node with require_bound_claims", () => {
  test("takes no legacy token, and what our client signs", async () => {
    await using strict = await startTestNexus({ config: { require_bound_claims: true } });
    const name = "strict";
    const { subject, body } = await capture(strict, "$NEX.DEPLOY.>", () =>
      strict.function("() => 1", { name }),
    );
    const [deployment] = await strict.client.workloads();
    assert.ok(deployment);
    const legacy = (data: object, at = nowSeconds()): string =>
      encodeClaims({ subject: name, issuedAt: at, data: { ...data } }, strict.issuer);
    const deploy = { ...body, workload_jwt: legacy({ hash: hashOf(body) }) };
    assert.equal(await refusedCode(strict, { subject, body: deploy }), "token_unbound");
    const stop = { workload_id: deployment.id, workload_jwt: legacy({}, nowSeconds() - 5) };
    const stopSubject = subject.replace("DEPLOY", "STOP");
    assert.equal(await refusedCode(strict, { subject: stopSubject, body: stop }), "token_unbound");
    await strict.client.stop({ ...stopOf(deployment), issuer: strict.issuer });
  });

  test("and one without takes legacy ones, as Go Nex's", async () => {
    const { subject, body } = await unsentDeploy();
    const token = encodeClaims(
      { subject: "legacy", issuedAt: nowSeconds(), data: { hash: hashOf(body) } },
      nexus.issuer,
    );
    const { error } = await send(nexus, subject, { ...body, nex: undefined, workload_jwt: token });
    assert.equal(error, undefined);
  });
});

describe("a sealed environment (S2)", () => {
  const show = 'module.exports = () => typeof process === "undefined" ? "?" : process.env.SECRET';
  const withSecret = (options: TestDeployOptions = {}): Promise<Captured> =>
    capture(nexus, "$NEX.DEPLOY.>", () => nexus.function(show, { environment: { SECRET: "s" }, ...options }));

  test("that was captured is opened in nobody else's deploy, nor under another name or namespace", async () => {
    const { subject, body } = await withSecret({ name: "forged" });
    const thief = newSigner();
    const stolen = resigned({ subject, body }, {}, "default", thief);
    assert.equal(await refusedCode(nexus, stolen), "sealed_for_another");
    const elsewhere = resigned({ subject, body }, {}, "other");
    const other = { ...elsewhere, subject: subject.replace(".default.", ".other.") };
    assert.equal(await refusedCode(nexus, other), "sealed_for_another");
    const renamed = await withSecret({ name: "renamed" });
    assert.equal(await refusedCode(nexus, resigned(renamed, {})), "sealed_for_another");
    assert.equal((await send(nexus, subject, resigned({ subject, body }, {}).body)).error, undefined);
  });

  test("with a connection beside it, leads nobody else's function there", async () => {
    const triggerConnection = { url: nexus.server.url, jwt: "a.b.c" };
    const captured = await capture(nexus, "$NEX.DEPLOY.>", () =>
      nexus.function(show, { name: "forged", triggerConnection }).catch(() => undefined),
    );
    assert.doesNotMatch(JSON.stringify(captured.body), /a\.b\.c|trigger_connection/);
    const stolen = resigned(captured, {}, "default", newSigner());
    assert.equal(await refusedCode(nexus, stolen), "sealed_for_another");
  });

  test("is opened for no legacy token, with which somebody else could choose who gets to see it", async () => {
    const { subject, body } = await withSecret({ name: "legacy" });
    const data = { hash: hashOf(body) };
    const token = encodeClaims({ subject: "legacy", issuedAt: nowSeconds(), data }, nexus.issuer);
    const downgraded = { subject, body: { ...body, workload_jwt: token } };
    assert.equal(await refusedCode(nexus, downgraded), "token_unbound");
  });

  test("does not go with a second one, and leads no connection to a server of its own choice", async () => {
    const { subject, body } = await unsentDeploy();
    const { publisher, issuer } = nexus;
    const xkey = (await nexus.client.info(nexus.node.id)).public_xkey;
    const both = resigned({ subject, body }, { environment: sealEnvironment({ A: "b" }, publisher, xkey) });
    assert.equal(await refusedCode(nexus, both), "malformed_request");
    const content = {
      version: 1,
      issuer: issuer.publicKey,
      namespace: "default",
      name: "forged",
      environment: {},
      trigger_connection: { nats_url: "nats://elsewhere" },
    };
    const sealed = sealJson(content, 10_000, publisher, xkey);
    const connected = resigned({ subject, body }, { nex: { version: 1, sealed } });
    assert.equal(await refusedCode(nexus, connected), "connection_not_allowed");
  });
});

describe("an endorsement", () => {
  const owner = signerOfSeed(createKey("operator").seed);
  const config = (nodeId: string, name = "prod", lifeSeconds = 600) => ({
    endorsement: signEndorsement({ nodeId, nexus: name }, owner, lifeSeconds, Date.now()),
  });

  test("of the node in all its answers lets a client that demands it deploy, and no other node's does", async () => {
    await using server = await startTestNatsServer();
    const directory = mkdtempSync(join(tmpdir(), "nex-trust-"));
    using _ = { [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
    const options = { server: server.url, directory, nexus: "prod" };
    let id: string;
    {
      await using node = await startTestNode(options);
      id = node.id;
      await using client = await connectNex({ servers: [server.url], endorser: owner.publicKey });
      const before = new TestNexus(server, node, client, new AsyncDisposableStack());
      await assert.rejects(before.function("() => 1"), { code: "endorsement_invalid" });
    }
    for (const wrong of [
      { endorsement: "eyJ0" },
      config(createKey("node").publicKey),
      config(id, "dev"),
      { endorsement: (await nexus.client.info(nexus.node.id)).nex?.xkey_proof ?? "" },
    ]) {
      await assert.rejects(startTestNode({ ...options, config: wrong }), {
        code: "config_invalid",
        message: /endorsement/,
      });
    }
    await using node = await startTestNode({ ...options, config: config(id) });
    await using client = await connectNex({ servers: [server.url], endorser: owner.publicKey });
    const [ping] = await client.nodes();
    const { nex } = await client.info(id);
    assert.equal(ping?.nex?.endorsement, nex?.endorsement);
    assert.equal(nex?.nexus, "prod");
    const trusting = new TestNexus(server, node, client, new AsyncDisposableStack());
    await trusting.function("() => 7", { name: "seven" });
    assert.equal(await trusting.call("seven"), "7");
    await using other = await connectNex({
      servers: [server.url],
      endorser: createKey("operator").publicKey,
    });
    const wary = new TestNexus(server, node, other, new AsyncDisposableStack());
    await assert.rejects(wary.function("() => 1"), { code: "endorsement_invalid" });
  });
});

describe("a captured request (S2)", () => {
  test("starts nothing when it is sent again, whether it was carried out or failed to start", async () => {
    const captured = await capture(nexus, "$NEX.DEPLOY.>", () => nexus.function("() => 1"));
    assert.equal(await refusedCode(nexus, captured), "token_already_used");
    const failed = await capture(nexus, "$NEX.DEPLOY.>", async () => {
      await assert.rejects(
        nexus.function("() => 1", { artifact: { bucket: "NONE", key: "k", sha256: "0".repeat(64) } }),
      );
    });
    assert.equal(await refusedCode(nexus, failed), "token_already_used");
  });

  test("starts one workload when two copies of it arrive together", async () => {
    const { subject, body } = await unsentDeploy();
    const running = await workloadCount(nexus);
    const answers = await Promise.all(Array.from({ length: 8 }, () => send(nexus, subject, body)));
    const codes = answers.map(({ nex }) => nex?.code ?? "started").sort();
    assert.deepEqual(codes, ["started", ...Array(7).fill("token_already_used")].sort());
    assert.equal(await workloadCount(nexus), running + 1);
  });

  test("starts nothing on a node that was killed and has come back as itself", async () => {
    await using server = await startTestNatsServer();
    const directory = mkdtempSync(join(tmpdir(), "nex-trust-"));
    using _ = { [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
    let captured: Captured;
    {
      await using victim = await startVictim(server.url, directory);
      await using client = await connectNex({ servers: [server.url] });
      const first = new TestNexus(server, victim.node, client, new AsyncDisposableStack());
      captured = await capture(first, "$NEX.DEPLOY.>", () => first.function("() => 1"));
    }
    await using node = await startTestNode({ server: server.url, directory });
    await using client = await connectNex({ servers: [server.url] });
    const second = new TestNexus(server, node, client, new AsyncDisposableStack());
    assert.equal(captured.subject, `$NEX.DEPLOY.default.${node.id}`);
    assert.equal(await refusedCode(second, captured), "token_already_used");
  });
});

/** A node in a process of its own, which is killed at the end of the block. */
async function startVictim(url: string, directory: string): Promise<AsyncDisposable & { node: NexNode }> {
  const options: NodeProcessOptions = {
    server: url,
    directory,
    sandbox: "process",
    nodeLostTimeoutMs: 1_000,
  };
  const script = join(import.meta.dirname, "support/node-process.ts");
  const child = spawn(process.execPath, ["--conditions=nex-src", script, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  const exited = once(child, "exit");
  return {
    node: { id: String(line).replace("ready ", "") } as NexNode,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
