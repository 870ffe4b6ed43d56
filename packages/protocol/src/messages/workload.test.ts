import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "../errors.ts";
import { bytesOf, recorded } from "../fixtures/recorded.ts";
import { parseJson } from "../formats/go-json.ts";
import { parseObjectLocation } from "../formats/go-url.ts";
import { decodeClaims } from "../tokens/claims.ts";
import { decodeResponse } from "./envelope.ts";
import { nodeFeatures } from "./features.ts";
import {
  argvCountMax,
  concurrencyMax,
  deployRequestSchema,
  parseDeployExtras,
  placeholderHash,
  replicasMax,
  runResponseSchema,
  signedDigest,
  stopRequestSchema,
  stopResponseSchema,
  triggerSubjectsMax,
} from "./workload.ts";

const what = "Unable to deserialize deploy request";

test("deployRequestSchema reads every recorded DEPLOY, with its token and artifact", () => {
  for (const { request, subject } of recorded("$NEX.DEPLOY")) {
    const deploy = parseJson(bytesOf(request), deployRequestSchema, what);
    assert.equal(deploy.target_node, subject.split(".").at(-1));
    const claims = decodeClaims(deploy.workload_jwt ?? "");
    assert.equal(claims.nats.hash, placeholderHash);
    assert.deepEqual(parseObjectLocation(deploy.location ?? {}), { bucket: "NEXCLIFILES", key: claims.sub });
    assert.match(deploy.sender_public_key ?? "", /^X/);
    assert.match(deploy.environment ?? "", /^eGt2/);
    assert.ok(["native", "v8", "wasm"].includes(deploy.type ?? ""));
    assert.equal(typeof deploy.essential, "boolean");
    if (deploy.type !== "native") assert.ok((deploy.trigger_subjects ?? []).length > 0);
    assert.equal(deploy.nex, undefined);
  }
});

test("runResponseSchema reads every recorded answer to a DEPLOY, or its failure is known", () => {
  const failures: string[] = [];
  let started = 0;
  for (const { replies, class: kind } of recorded("$NEX.DEPLOY")) {
    for (const reply of replies) {
      try {
        const run = decodeResponse(bytesOf(reply), runResponseSchema);
        assert.ok(run.started && run.id !== "" && run.name !== "" && run.issuer.startsWith("A"), kind);
        started++;
      } catch (error) {
        assert.ok(error instanceof NexError, String(error));
        assert.match(kind, /error$/);
        failures.push(error.code);
      }
    }
  }
  assert.ok(started >= 3);
  assert.deepEqual(new Set(failures), new Set(["no_ready_machine"]));
});

test("stopRequestSchema reads every recorded STOP, with its token", () => {
  for (const { request, subject } of recorded("$NEX.STOP")) {
    const stop = parseJson(bytesOf(request), stopRequestSchema, "Unable to deserialize stop request");
    assert.equal(stop.target_node, subject.split(".").at(-1));
    assert.notEqual(stop.workload_id, "");
    assert.equal(decodeClaims(stop.workload_jwt ?? "").nats.hash, undefined);
  }
});

test("stopResponseSchema reads every recorded answer to a STOP, or its failure is known", () => {
  const failures = new Set<string>();
  let stopped = 0;
  for (const { replies, class: kind } of recorded("$NEX.STOP")) {
    for (const reply of replies) {
      try {
        assert.ok(decodeResponse(bytesOf(reply), stopResponseSchema).stopped, kind);
        stopped++;
      } catch (error) {
        assert.ok(error instanceof NexError, String(error));
        failures.add(error.code);
      }
    }
  }
  assert.ok(stopped >= 1);
  assert.deepEqual(failures, new Set(["no_such_workload", "token_invalid"]));
});

test("deployRequestSchema reads the members that a Go Nex node adds when it redeploys", () => {
  const deploy = parseJson(
    bytesOf({ retry_count: 1, retried_at: "2026-11-24T02:16:14.842621623Z", trigger_connection: null }),
    deployRequestSchema,
    what,
  );
  assert.deepEqual(deploy, { retry_count: 1, retried_at: "2026-11-24T02:16:14.842621623Z" });
});

test("deployRequestSchema refuses members of another type and overlong lists", () => {
  const refused = (body: object, code: string): void => {
    assert.throws(
      () => parseJson(bytesOf(body), deployRequestSchema, what),
      { code },
      JSON.stringify(body).slice(0, 80),
    );
  };
  for (const body of [
    { type: 5 },
    { argv: "x" },
    { argv: [5] },
    { essential: "yes" },
    { location: 5 },
    { retry_count: -1 },
  ]) {
    refused(body, "malformed_request");
  }
  refused({ argv: Array.from({ length: argvCountMax + 1 }, () => "x") }, "request_too_large");
  refused(
    { trigger_subjects: Array.from({ length: triggerSubjectsMax + 1 }, () => "x") },
    "request_too_large",
  );
  refused({ description: "x".repeat(4097) }, "request_too_large");
});

test("parseDeployExtras returns nothing for a request without our members, and keeps known ones", () => {
  assert.deepEqual(parseDeployExtras(undefined), { version: 1 });
  const extras = {
    version: 1,
    requires: [...nodeFeatures],
    globals: "keep",
    concurrency: 4,
    replicas: 3,
    restart: { policy: "always", max_restarts: 2 },
  };
  assert.deepEqual(parseDeployExtras(extras), extras);
});

test("parseDeployExtras refuses an unknown member, value or version instead of ignoring it", () => {
  const bad: unknown[] = [
    { version: 1, replicas: 0 },
    { version: 1, replicas: replicasMax + 1 },
    { version: 1, restart: { policy: "sometimes" } },
    { version: 1, restart: { policy: "always", forever: true } },
    { version: 1, globals: "sometimes" },
    { version: 1, concurrency: 0 },
    { version: 1, concurrency: concurrencyMax + 1 },
    { version: 1, concurrency: 1.5 },
    { version: 1, requires: "globals" },
    { version: 2 },
    {},
    5,
    "x",
    [],
  ];
  for (const extras of bad) {
    assert.throws(() => parseDeployExtras(extras), { code: "feature_missing" }, JSON.stringify(extras));
  }
  assert.throws(() => parseDeployExtras({ version: 1, telepathy: [] }), /\(telepathy\)$/);
});

test("parseDeployExtras refuses a feature that this node does not know", () => {
  assert.throws(() => parseDeployExtras({ version: 1, requires: ["globals", "telepathy"] }), {
    code: "feature_missing",
    message: 'Cannot accept the request: it requires "telepathy", which this node does not know',
  });
});

test("parseDeployExtras reads limits, with the schema's defaults", () => {
  const limits = { memory_bytes: 2 ** 28, network: "nats", publish: [{ machine_port: 80 }] };
  assert.deepEqual(parseDeployExtras({ version: 1, requires: ["limits"], limits }).limits, {
    ...limits,
    publish: [{ machine_port: 80, protocol: "tcp" }],
  });
});

test("parseDeployExtras distinguishes an invalid limit from an unknown one", () => {
  const refusal = (limits: object, code: string, message: RegExp): void =>
    assert.throws(() => parseDeployExtras({ version: 1, limits }), { code, message }, JSON.stringify(limits));
  refusal({ memory_bytes: 1 }, "limits_invalid", /nex\.limits\.memory_bytes: must be from 67108864/);
  refusal({ network: "all" }, "limits_invalid", /nex\.limits\.network/);
  refusal({ publish: [{ machine_port: 0 }] }, "limits_invalid", /nex\.limits\.publish\.0\.machine_port/);
  refusal({ network: "egress", egress_allow: ["example.com"] }, "limits_invalid", /an entry is host:port/);
  refusal({ gpus: 1 }, "feature_missing", /nex\.limits has a member .* \(gpus\)$/);
  refusal({ publish: [{ machine_port: 80, host: "::" }] }, "feature_missing", /publish\.0 .*\(host\)$/);
});

test("runResponseSchema reads published ports, and ignores unknown formats", () => {
  const run = { started: true, id: "dc2f2m1ksdudki293gng", issuer: "A", name: "web" };
  const published = [{ machine_port: 80, host: "127.0.0.1", host_port: 8080 }];
  assert.deepEqual(
    runResponseSchema.parse({ ...run, nex: { version: 1, published } }).nex?.published,
    published,
  );
  for (const nex of [{ version: 2, published }, { version: 1, published: [{ machine_port: 80 }] }, 5, null]) {
    assert.deepEqual(runResponseSchema.parse({ ...run, nex }).nex, undefined);
  }
});

test("signedDigest accepts a SHA-256 in hex of any case, and not Go Nex's placeholder", () => {
  const digest = "63A0dc61f522919f1ee89950286b5a22e9d9b7d17edd6d76fa9d97d308608f0a";
  assert.equal(signedDigest(digest), digest.toLowerCase());
  for (const other of [undefined, "", placeholderHash, digest.slice(1), `${digest}0`, `${digest}\n`]) {
    assert.equal(signedDigest(other), undefined);
  }
});
