import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { NexError } from "@nexengine/protocol/errors";
import { parseJson, parseObjectLocation } from "@nexengine/protocol/formats";
import { deployRequestSchema } from "@nexengine/protocol/messages";
import {
  type CurveKey,
  createKey,
  decodeClaims,
  environmentBytesMax,
  openEnvironment,
  openJson,
  openRequest,
  requestDigest,
} from "@nexengine/protocol/tokens";
import { artifactKey, type DeployOptions } from "./deploy.ts";
import { refusal, startBench, type TestBench } from "./testing/client.ts";
import type { Body, Script } from "./testing/scripted-node.ts";

const source = "(s, p) => p";
const sha256 = createHash("sha256").update(source).digest("hex");
const secret = "swordfish";

test("a deploy is sent as a Go client would send it, with the real digest", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const deployment = await bench.client.deploy(bench.functionOptions());
  const [sent] = node.deploys;
  assert.ok(sent !== undefined && node.deploys.length === 1);
  const { workload_jwt, environment, nex, ...rest } = sent;
  assert.deepEqual(rest, {
    description: "",
    type: "v8",
    location: {
      Scheme: "nats",
      Opaque: "",
      User: null,
      Host: "NEXCLIFILES",
      Path: "/default/echo",
      RawPath: "",
      OmitHost: false,
      ForceQuery: false,
      RawQuery: "",
      Fragment: "",
      RawFragment: "",
    },
    essential: false,
    jsdomain: "",
    sender_public_key: bench.publisher.publicKey,
    target_node: node.id,
    trigger_subjects: ["echo"],
  });
  const { sealed, ...extras } = nex as Body;
  assert.deepEqual(extras, { version: 1, requires: ["bound-claims", "sealed-request"] });
  const claims = decodeClaims(String(workload_jwt));
  const { iss, sub, nats, exp, iat = 0 } = claims;
  const request = requestDigest("default", JSON.stringify(sent));
  assert.deepEqual(
    { iss, sub, nats, exp },
    {
      iss: bench.issuer.publicKey,
      sub: "echo",
      nats: { hash: sha256, nex: { version: 1, use: "deploy", request }, version: 2 },
      exp: iat + 60,
    },
  );
  assert.ok(Math.abs(iat - Date.now() / 1000) < 60);
  const open = (box: unknown) =>
    openJson(String(box), environmentBytesMax, node.xkey, bench.publisher.publicKey);
  assert.equal(open(environment), null);
  assert.deepEqual(open(sealed), {
    version: 1,
    issuer: bench.issuer.publicKey,
    namespace: "default",
    name: "echo",
    environment: {},
  });
  assert.deepEqual(deployment, {
    id: "dc2f2m1ksdudki293gng",
    name: "echo",
    namespace: "default",
    nodeId: node.id,
    nodeName: "scripted",
    issuer: bench.issuer.publicKey,
    sha256,
    published: [],
  });
});

test("a node without our features gets Go Nex's legacy token and environment", async () => {
  await using bench = await startBench({ client: { allowGoNodes: true } });
  const older: Script = { info: (self) => ({ nex: { ...self.extras, features: ["globals"] } }) };
  for (const script of [{ extras: false as const }, older]) {
    const node = await bench.node(script);
    await bench.client.deploy(bench.functionOptions({ node: node.id, environment: { A: "b" } }));
    const { nats, exp, iat = 0, jti } = decodeClaims(String(node.deploys[0]?.["workload_jwt"]));
    assert.deepEqual({ nats, exp }, { nats: { hash: sha256, version: 2 }, exp: iat + 600 });
    assert.equal(jti?.length, 52);
    assert.equal(node.deploys[0]?.["nex"], undefined);
    const sealed = String(node.deploys[0]?.["environment"]);
    assert.deepEqual(openEnvironment(sealed, node.xkey, bench.publisher.publicKey), { A: "b" });
  }
});

test("a deploy carries every option, and only the node can read the environment", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const other = await bench.node({ auction: () => "silence" });
  await bench.client.deploy(
    bench.functionOptions({
      node: node.id,
      environment: { SECRET: secret, ü: "☃" },
      argv: ["-v", "two words"],
      description: "says it again",
      essential: true,
      triggerSubjects: ["a.*", "b.>"],
      bucket: "MINE",
      key: "some/where",
      globals: "keep",
      concurrency: 7,
    }),
  );
  const body = Buffer.from(JSON.stringify(node.deploys[0]));
  const sent = parseJson(body, deployRequestSchema, "x");
  assert.deepEqual(sent.argv, ["-v", "two words"]);
  assert.equal(sent.description, "says it again");
  assert.equal(sent.essential, true);
  assert.deepEqual(sent.trigger_subjects, ["a.*", "b.>"]);
  assert.deepEqual(parseObjectLocation(sent.location ?? {}), { bucket: "MINE", key: "some/where" });
  const { sealed, ...extras } = sent.nex as Body;
  assert.deepEqual(extras, {
    version: 1,
    requires: ["bound-claims", "sealed-request", "globals", "concurrency"],
    globals: "keep",
    concurrency: 7,
  });
  assert.ok(!body.includes(secret));
  const who = { issuer: bench.issuer.publicKey, namespace: "default", name: "echo" };
  const open = (by: CurveKey) => openRequest(String(sealed), who, by, bench.publisher.publicKey).environment;
  assert.deepEqual(open(node.xkey), { SECRET: secret, ü: "☃" });
  assert.throws(() => open(other.xkey), { code: "environment_unreadable" });
});

test("what can be refused here is refused before anything is sent", async () => {
  await using bench = await startBench();
  const directory = mkdtempSync(join(tmpdir(), "nex-client-"));
  using _ = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const pipe = join(directory, "pipe");
  execFileSync("mkfifo", [pipe]);
  const observer = await bench.connection();
  const seen: string[] = [];
  observer.subscribe(">", { callback: (_error, { subject }) => void seen.push(subject) });
  await observer.flush();

  const native = { type: "native", triggerSubjects: [] } as const;
  const cases: [Partial<DeployOptions>, string, RegExp][] = [
    [{ name: "" }, "name_invalid", /a name may have/],
    [{ name: "a.b" }, "name_invalid", /"a\.b"/],
    [{ name: "a/b" }, "name_invalid", /"a\/b"/],
    [{ name: "\u001b[2J" }, "name_invalid", /"\ufffd\[2J"/],
    [{ triggerSubjects: [] }, "triggers_required", /at least one/],
    [{ type: "wasm", triggerSubjects: [] }, "triggers_required", /at least one/],
    [{ type: "native" }, "triggers_not_supported", /only functions/],
    [{ triggerSubjects: ["ok", "a..b"] }, "trigger_invalid", /"a\.\.b"/],
    [{ triggerSubjects: ["a b"] }, "trigger_invalid", /"a b"/],
    [{ environment: { "": secret } }, "environment_unreadable", /""/],
    [{ environment: { "A=B": secret } }, "environment_unreadable", /"A=B"/],
    [{ environment: { A: `${secret}\0` } }, "environment_unreadable", /"A"/],
    [{ artifact: { bytes: new Uint8Array() } }, "artifact_invalid", /it is empty$/],
    [{ artifact: { path: file("empty", "") } }, "artifact_invalid", /it is empty$/],
    [{ artifact: { path: join(directory, "none") } }, "file_not_found", /there is no such file$/],
    [{ artifact: { path: directory } }, "file_not_found", /it is not a file$/],
    [{ artifact: { path: pipe } }, "file_not_found", /it is not a file$/],
    [
      { ...native, artifact: { path: file("text", "#!/bin/sh\n") } },
      "artifact_invalid",
      /it is not an ELF file$/,
    ],
    [{ ...native, artifact: { bytes: Buffer.from("\x7fELF") } }, "artifact_invalid", /truncated$/],
  ];
  for (const [options, code, message] of cases) {
    const error = await refusal(bench.client.deploy(bench.functionOptions(options)));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(!error.message.includes(secret));
  }
  const system = await bench.join({ namespace: "system" });
  assert.equal((await refusal(system.deploy(bench.functionOptions()))).code, "namespace_invalid");
  await bench.client.flush();
  await system.flush();
  await observer.flush();
  assert.deepEqual(seen, []);
});

/** The streams of the server; each bucket is one. */
async function streams(bench: TestBench): Promise<string[]> {
  const manager = await jetstreamManager(bench.client.connection);
  const names: string[] = [];
  for await (const name of manager.streams.names()) names.push(name);
  return names;
}

test("an environment that can't be sealed is refused before the artifact is uploaded", async () => {
  await using bench = await startBench({ client: { allowGoNodes: true } });
  const node = await bench.node();
  const wrongKey = await bench.node({ extras: false, info: () => ({ public_xkey: node.id }) });
  const large = { environment: { A: "x".repeat(environmentBytesMax) }, node: node.id };
  const cases: [Partial<DeployOptions>, string][] = [
    [large, "request_too_large"],
    [{ node: wrongKey.id }, "key_invalid"],
  ];
  for (const [options, code] of cases) {
    assert.equal((await refusal(bench.client.deploy(bench.functionOptions(options)))).code, code);
  }
  assert.deepEqual([node.deploys, wrongKey.deploys, await streams(bench)], [[], [], []]);
  await bench.client.deploy(bench.functionOptions({ node: node.id }));
  assert.deepEqual(await streams(bench), ["OBJ_NEXCLIFILES"]);
});

test("nothing is sealed or uploaded for a node that is refused", async () => {
  await using bench = await startBench();
  const otherXkey = createKey("curve").publicKey;
  const nodes = [
    await bench.node({ info: (self) => ({ nex: { ...self.extras, xkey_proof: "" } }) }),
    await bench.node({ info: () => ({ public_xkey: otherXkey }) }),
    await bench.node({ info: () => new NexError("internal", "no info today") }),
    await bench.node({ info: () => Buffer.from("{{{") }),
  ];
  let sealed = 0;
  const publisher: CurveKey = {
    ...bench.publisher,
    seal: (data, recipient) => {
      sealed++;
      return bench.publisher.seal(data, recipient);
    },
  };
  for (const [at, { id }] of nodes.entries()) {
    await refusal(bench.client.deploy(bench.functionOptions({ node: id, publisher })));
    assert.deepEqual([sealed, nodes[at]?.deploys, await streams(bench)], [0, [], []], `node ${at}`);
  }
  const honest = await bench.node();
  await bench.client.deploy(bench.functionOptions({ node: honest.id, publisher }));
  assert.equal(sealed, 2, "null as Go Nex's environment, and the real one");
});

test("a native artifact asks for its processor, in the auction", async () => {
  await using bench = await startBench();
  const node = await bench.node({ auction: () => "silence" });
  const elf = Buffer.alloc(120);
  elf.write("\x7fELF\x02\x01\x01", "latin1");
  for (const [value, at] of [
    [2, 16],
    [0xb7, 18],
    [56, 54],
    [1, 56],
  ] as const) {
    elf.writeUInt16LE(value, at);
  }
  elf.writeBigUInt64LE(64n, 32);
  elf.writeUInt32LE(1, 64);
  const { code, message } = await refusal(
    bench.client.deploy(
      bench.functionOptions({ type: "native", triggerSubjects: [], artifact: { bytes: elf } }),
    ),
  );
  assert.equal(code, "no_node");
  assert.match(message, /asked for type native, linux\/arm64,/);
  assert.partialDeepStrictEqual(node.auctions, [
    { arch: "arm64", os: "linux", workload_types: ["native"], nex: { namespace: "default" } },
  ]);
});

test("a node that keeps silent may have started the workload, which is said", async () => {
  await using bench = await startBench();
  const node = await bench.node({ deploy: () => "silence" });
  const error = await refusal(bench.client.deploy(bench.functionOptions({ node: node.id, timeoutMs: 80 })));
  assert.equal(error.code, "node_silent");
  assert.match(error.message, /^Cannot deploy "echo": node N\w+ did not answer within 80 ms$/);
  assert.match(error.advice ?? "", /may have started.*nex ps/);
});

test("what the node refuses is thrown with its code, and holds no secret", async () => {
  await using bench = await startBench();
  const node = await bench.node({
    deploy: () => new NexError("workload_limit", "Node is at maximum workload limit. Deploy request denied"),
  });
  const options = bench.functionOptions({ node: node.id, environment: { SECRET: secret } });
  const error = await refusal(bench.client.deploy(options));
  assert.equal(error.code, "workload_limit");
  assert.ok(!JSON.stringify({ ...error, message: error.message, stack: error.stack }).includes(secret));
});

test("an answer that can't be read is no deployment", async () => {
  await using bench = await startBench();
  for (const answer of ["", "{}", '{"data":{"started":true}}', '{"data":{"id":"x","started":"yes"}}']) {
    const node = await bench.node({ deploy: () => Buffer.from(answer) });
    const error = await refusal(bench.client.deploy(bench.functionOptions({ node: node.id })));
    assert.equal(error.code, "answer_unreadable", answer);
  }
});

test("an object that is in a bucket is signed with the digest that it has", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  await bench.client.upload({ bytes: Buffer.from(source) }, { bucket: "B", key: "k" });
  const deployment = await bench.client.deploy(
    bench.functionOptions({ artifact: { bucket: "B", key: "k" } }),
  );
  assert.equal(deployment.sha256, sha256);
  assert.equal(decodeClaims(String(node.deploys[0]?.["workload_jwt"])).nats.hash, sha256);
});

test("an object whose digest was given is not read", async () => {
  await using bench = await startBench({ jetstream: false });
  await bench.node();
  const given = "0".repeat(64);
  const artifact = { bucket: "B", key: "k", sha256: given };
  assert.equal((await bench.client.deploy(bench.functionOptions({ artifact }))).sha256, given);
});

test("a bucket or an object that is not there is told apart", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const deploy = (key: string) =>
    refusal(bench.client.deploy(bench.functionOptions({ artifact: { bucket: "B", key } })));
  const noBucket = await deploy("k");
  assert.equal(noBucket.code, "artifact_not_found");
  assert.match(noBucket.message, /there is no bucket "B"$/);
  await bench.client.upload({ bytes: Buffer.from(source) }, { bucket: "B", key: "k" });
  const noObject = await deploy("other");
  assert.equal(noObject.code, "artifact_not_found");
  assert.match(noObject.message, /bucket "B" has no such object$/);
  assert.deepEqual(node.deploys, []);
});

test("artifactKey gives no two pairs of namespace and name one key", () => {
  const parts = ["a", "b", "a_b", "a-b", "a_", "_b", "ab", "A", "x_y_z", "x"];
  const namespaces = [...parts, "a/b", "a%2Fb", "a%b", "ü", "%C3%BC", "/", "a/"];
  const keys = namespaces.flatMap((namespace) => parts.map((name) => artifactKey(namespace, name)));
  assert.equal(new Set(keys).size, namespaces.length * parts.length);
});

test("namespaces that share a prefix keep their artifacts apart", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const places: unknown[] = [];
  for (const [namespace, name] of [
    ["a", "b_c"],
    ["a_b", "c"],
    ["a/b", "c"],
  ] as const) {
    const client = await bench.join({ namespace });
    await client.deploy(bench.functionOptions({ name, node: node.id }));
    places.push(node.deploys.at(-1)?.["location"]);
  }
  assert.deepEqual(
    places.map((place) => parseObjectLocation(place as { Host: string; Path: string }).key),
    ["a/b_c", "a_b/c", "a%2Fb/c"],
  );
});
