/** Weaknesses of the Go Nex, by their numbers in docs/reference/differences.md, that no other test is about. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Msg } from "@nats-io/nats-core";
import { connectNex } from "@nexengine/client";
import { objectLocation } from "@nexengine/protocol/formats";
import { assertDeployNamespace } from "@nexengine/protocol/subjects";
import { encodeClaims, sealEnvironment } from "@nexengine/protocol/tokens";
import { startTestNatsServer, startTestNexus, startTestNode, TestNexus, until } from "@nexengine/testing";
import { refusedCode } from "./support/captured.ts";

const name = "weak";

/** Other tests run at the same time; what is counted here is this one's. */
const ownTemporary = mkdtempSync(join(tmpdir(), "nex-weak-"));
process.env["TMPDIR"] = ownTemporary;

let nexus: TestNexus;
let body: Record<string, unknown>;
before(async () => {
  nexus = await startTestNexus();
  const { bucket, key } = await nexus.client.upload({ bytes: Buffer.from("() => 1") }, { key: name });
  const { public_xkey } = await nexus.client.info(nexus.node.id);
  body = {
    description: "",
    type: "v8",
    location: objectLocation(bucket, key),
    workload_jwt: tokenOf({ subject: name }),
    environment: sealEnvironment({}, nexus.publisher, public_xkey),
    sender_public_key: nexus.publisher.publicKey,
    trigger_subjects: [name],
  };
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  rmSync(ownTemporary, { recursive: true, force: true });
});

const tokenOf = ({ subject }: { subject: string }): string =>
  encodeClaims({ subject, issuedAt: Math.floor(Date.now() / 1000) }, nexus.issuer);

/** A token without one of its claims, signed all the same. */
function tokenWithout(claim: string): string {
  const [header = "", payload = ""] = tokenOf({ subject: name }).split(".");
  const { [claim]: _, ...claims } = JSON.parse(Buffer.from(payload, "base64url").toString());
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  return `${signed}.${Buffer.from(nexus.issuer.sign(Buffer.from(signed))).toString("base64url")}`;
}

const codeOf = (members: object): Promise<string> =>
  refusedCode(nexus, {
    subject: `$NEX.DEPLOY.default.${nexus.node.id}`,
    body: { ...body, ...members },
  });

describe("a run request (W2)", () => {
  const nothing = [undefined, null, ""];

  test("without an issuer is refused: no token, or one that names nobody", async () => {
    for (const workload_jwt of nothing) assert.equal(await codeOf({ workload_jwt }), "field_missing");
    assert.equal(await codeOf({ workload_jwt: tokenWithout("iss") }), "token_invalid");
  });

  test("without the publisher's xkey is refused", async () => {
    for (const sender_public_key of nothing) {
      assert.equal(await codeOf({ sender_public_key }), "field_missing");
    }
  });

  test("without a location is refused, and without its bucket or key", async () => {
    for (const location of [
      undefined,
      null,
      {},
      "",
      { Host: "B" },
      { Path: "/k" },
      "nats://B",
      { Host: null },
    ]) {
      assert.equal(await codeOf({ location }), "field_missing", JSON.stringify(location));
    }
  });

  test("without an environment is refused", async () => {
    for (const environment of nothing) assert.equal(await codeOf({ environment }), "field_missing");
  });

  test("without a name is refused: a token without subject, or with an empty one", async () => {
    assert.equal(await codeOf({ workload_jwt: tokenWithout("sub") }), "token_invalid");
    assert.equal(await codeOf({ workload_jwt: tokenOf({ subject: "" }) }), "name_invalid");
  });

  test("without a namespace is refused by client and node; as a subject it reaches no node", async () => {
    const options = { servers: [nexus.server.url], namespace: "" };
    await assert.rejects(connectNex(options), { code: "namespace_invalid" });
    assert.throws(() => assertDeployNamespace(""), { code: "namespace_invalid" });
    const { connection } = nexus.client;
    await assert.rejects(
      connection.request(`$NEX.DEPLOY.${nexus.node.id}`, JSON.stringify(body), { timeout: 5_000 }),
      /no responders/i,
    );
  });

  test("that lacks nothing is accepted, so that each of these is about what it says", async () => {
    await assert.rejects(codeOf({}), /it was accepted/);
  });
});

/** Sockets of this process at which it listens, by their addresses in /proc. */
function listeningAddresses(): string[] {
  const own = new Set(
    readdirSync("/proc/self/fd").map((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
      } catch {
        return undefined;
      }
    }),
  );
  return ["tcp", "tcp6"].flatMap((kind) =>
    readFileSync(`/proc/net/${kind}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === "0A" && own.has(inode))
      .map(([, address = ""]) => address),
  );
}

const directories = (): string[] => readdirSync(tmpdir()).filter((entry) => entry.startsWith("nex-node-"));

describe("a node", () => {
  const onLinux = process.platform === "linux" ? {} : { skip: "there is no /proc" };

  test(
    "listens on no port, and keeps its files in a directory of its own that goes with it (S6)",
    onLinux,
    async () => {
      const before = directories();
      {
        await using _node = await startTestNode({ server: nexus.server.url });
        assert.deepEqual(listeningAddresses(), []);
        assert.equal(directories().length, before.length + 1);
        assert.ok(!readdirSync(tmpdir()).includes("pnats"));
      }
      assert.deepEqual(directories(), before);
    },
  );

  test("gives every machine of its pool a workload from its first moment on (B2, B3)", async () => {
    await using eager = await startTestNexus({ config: { machine_pool_size: 3 } });
    const deployments = await Promise.all([1, 2, 3].map((value) => eager.function(`() => ${value}`)));
    const replies = await Promise.all(deployments.map((one) => eager.call(one.name)));
    assert.deepEqual(replies, ["1", "2", "3"]);
    const { machines } = await eager.client.info(eager.node.id);
    assert.deepEqual(machines.map(({ id }) => id).sort(), deployments.map(({ id }) => id).sort());
  });

  test("makes deploys wait for a machine, after a refused one and beside one that is stuck (B4)", async () => {
    await using waiting = await startTestNexus();
    const node = waiting.node.id;
    // A domain in which everybody listens and nobody answers, until the end.
    const unanswered: Msg[] = [];
    waiting.client.connection.subscribe("$JS.mute.API.>", {
      callback: (_, message) => void unanswered.push(message),
    });
    const stuck = waiting.deploy(
      { bucket: "B", key: "k", sha256: "0".repeat(64) },
      { name: "stuck", type: "v8", triggerSubjects: ["stuck"], node, jsDomain: "mute" },
    );
    stuck.catch(() => undefined);
    await until(() => unanswered.length > 0);
    await assert.rejects(waiting.function("no function", { node }), { code: "workload_rejected" });
    const results = await Promise.allSettled([
      waiting.function("also none (", { node }),
      ...[1, 2, 3, 4].map((value) => waiting.function(`() => ${value}`, { node, name: `waits-${value}` })),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["rejected", ...Array(4).fill("fulfilled")],
    );
    for (const value of [1, 2, 3, 4]) assert.equal(await waiting.call(`waits-${value}`), String(value));
    const notFound = { error: { code: 404, err_code: 10059, description: "stream not found" } };
    for (const message of unanswered) message.respond(JSON.stringify(notFound));
    await assert.rejects(stuck, { code: "artifact_not_found" });
  });

  test("says so when its server is not there, and leaves nothing (B23)", async () => {
    const before = directories();
    await assert.rejects(startTestNode({ server: "nats://127.0.0.1:1" }), { code: "connection_failed" });
    assert.deepEqual(directories(), before);
  });

  test("that has to log in runs functions, which need no login of their own (B27)", async () => {
    const config = "authorization { user: node, password: secret }";
    const login = { user: "node", password: "secret" };
    await using server = await startTestNatsServer({ config });
    await using node = await startTestNode({ server: server.url, login });
    await using client = await connectNex({ servers: [server.url], ...login });
    const locked = new TestNexus(server, node, client, new AsyncDisposableStack());
    await locked.function("() => 1", { name: "inside" });
    assert.equal(await locked.call("inside"), "1");
  });
});
