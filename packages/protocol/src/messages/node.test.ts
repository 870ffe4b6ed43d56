import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import { bytesOf, recorded } from "../fixtures/recorded.ts";
import { parseJson } from "../formats/go-json.ts";
import { decodeResponse } from "./envelope.ts";
import {
  auctionRequestSchema,
  infoResponseSchema,
  lameDuckResponseSchema,
  pingResponseSchema,
  workloadPingResponseSchema,
} from "./node.ts";

/** All recorded answers on subjects with this prefix, parsed. */
function answers<T>(head: string, schema: z.ZodType<T>): T[] {
  return recorded(head).flatMap(({ replies }) =>
    replies.map((reply) => decodeResponse(bytesOf(reply), schema)),
  );
}

test("pingResponseSchema reads every recorded PING answer and bid", () => {
  const all = [...answers("$NEX.PING", pingResponseSchema), ...answers("$NEX.AUCTION", pingResponseSchema)];
  assert.ok(all.length >= 3);
  for (const answer of all) {
    assert.match(answer.node_id, /^N/);
    assert.match(answer.target_xkey, /^X/);
    assert.equal(answer.version, "0.2.7");
    assert.equal(answer.nexus, "nexus");
    assert.equal(answer.tags?.["nex.os"], "linux");
    assert.equal(answer.nex, undefined);
  }
});

test("auctionRequestSchema reads every recorded AUCTION", () => {
  for (const { request } of recorded("$NEX.AUCTION")) {
    const parsed = parseJson(bytesOf(request), auctionRequestSchema, "x");
    assert.deepEqual(parsed, { arch: "amd64", os: "linux", workload_types: ["native"] });
  }
});

test("auctionRequestSchema reads null as no requirement", () => {
  for (const body of [null, {}, { arch: null, tags: null, sandboxed: null, workload_types: null }]) {
    assert.deepEqual(parseJson(bytesOf(body), auctionRequestSchema, "x"), {});
  }
});

test("auctionRequestSchema reads the limits of a deploy, and null as none", () => {
  const nex = { version: 1, limits: { memory_bytes: 2 ** 28, network: "none" } };
  assert.deepEqual(parseJson(bytesOf({ nex }), auctionRequestSchema, "x"), { nex });
  assert.deepEqual(parseJson(bytesOf({ nex: null }), auctionRequestSchema, "x"), {});
});

test("auctionRequestSchema refuses unknown requirements below nex", () => {
  for (const nex of [
    { version: 2 },
    { version: 1, moon: true },
    { version: 1, limits: { gpus: 1 } },
    {},
    "x",
  ]) {
    assert.throws(
      () => parseJson(bytesOf({ nex }), auctionRequestSchema, "x"),
      { code: "malformed_request" },
      JSON.stringify(nex),
    );
  }
});

test("workloadPingResponseSchema reads every recorded WPING answer", () => {
  const all = answers("$NEX.WPING", workloadPingResponseSchema);
  assert.ok(all.length >= 2);
  for (const { running_machines } of all) {
    assert.ok(running_machines.length >= 1);
    for (const workload of running_machines) {
      assert.match(workload.id, /^[0-9a-v]{20}$/);
      assert.equal(workload.namespace, "default");
      assert.notEqual(workload.name, "");
      assert.equal(workload.type, "native");
    }
  }
});

test("infoResponseSchema reads every recorded INFO answer", () => {
  const all = answers("$NEX.INFO", infoResponseSchema);
  assert.ok(all.length >= 2);
  for (const info of all) {
    assert.match(info.public_xkey, /^X/);
    assert.ok((info.memory?.total ?? 0) > 0);
    assert.deepEqual(info.supported_workload_types, ["native", "v8", "wasm"]);
    assert.equal(info.nex, undefined);
  }
});

test("infoResponseSchema reads a machine in Go Nex's format", () => {
  const workload = { name: "echo", runtime: "3s", type: "native", hash: "63a0" };
  const machine = { id: "dc2f2m1ksdudki293gng", healthy: true, uptime: "3s", namespace: "default", workload };
  const info = infoResponseSchema.parse({ public_xkey: "X", machines: [machine] });
  assert.deepEqual(info.machines, [machine]);
  assert.deepEqual(infoResponseSchema.parse({ public_xkey: "X", machines: null }).machines, []);
});

test("infoResponseSchema reads published ports, and ignores unknown formats", () => {
  const workload = { name: "web", runtime: "3s", type: "native", hash: "63a0" };
  const listed = (nex: unknown): unknown =>
    infoResponseSchema.parse({ public_xkey: "X", machines: [{ id: "dc2f", workload, nex }] }).machines[0]
      ?.nex;
  const ours = { version: 1, published: [{ machine_port: 80, host: "::1", host_port: 8080 }] };
  assert.deepEqual(listed({ ...ours, more: 1 }), ours);
  for (const nex of [{ version: 2 }, { version: 1, published: "all" }, 5, null])
    assert.equal(listed(nex), undefined);
});

test("lameDuckResponseSchema reads every recorded LAMEDUCK answer", () => {
  const all = answers("$NEX.LAMEDUCK", lameDuckResponseSchema);
  assert.ok(all.length >= 1);
  for (const answer of all) assert.equal(answer.success, true);
});

test("the answers' schemas keep our members, and ignore unknown members and formats", () => {
  const base = { node_id: "N", target_xkey: "X" };
  const ours = { version: 1, sandbox: "process", xkey_proof: "p", features: ["globals", "brand-new"] };
  assert.deepEqual(pingResponseSchema.parse({ ...base, nex: { ...ours, more: 1 } }).nex, ours);
  assert.deepEqual(pingResponseSchema.parse({ ...base, nex: { version: 1, sandbox: "moon" } }).nex, {
    version: 1,
    sandbox: undefined,
  });
  for (const nex of [{ version: 2 }, 5, null])
    assert.equal(pingResponseSchema.parse({ ...base, nex }).nex, undefined);
});

test("the answers' schemas refuse an answer without a node id or xkey", () => {
  for (const bad of [{ target_xkey: "X" }, { node_id: "N" }, { node_id: 5, target_xkey: "X" }]) {
    assert.ok(!pingResponseSchema.safeParse(bad).success);
    assert.ok(!workloadPingResponseSchema.safeParse({ ...bad, running_machines: [] }).success);
  }
  assert.ok(!infoResponseSchema.safeParse({ machines: [] }).success);
});
