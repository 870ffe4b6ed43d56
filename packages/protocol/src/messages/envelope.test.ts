import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { errorCatalogue, isErrorCode, NexError } from "../errors.ts";
import {
  decodeResponse,
  encodeFailure,
  encodeResponse,
  type ResponseKind,
  responseBytesMax,
} from "./envelope.ts";
import { infoResponseSchema } from "./node.ts";

const data = z.object({ id: z.string() });

const envelope = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

function refusal(bytes: Uint8Array): NexError {
  try {
    decodeResponse(bytes, data);
  } catch (error) {
    assert.ok(error instanceof NexError);
    return error;
  }
  assert.fail("nothing was thrown");
}

test("encodeResponse writes Go Nex's envelope for every kind, and decodeResponse reads it", () => {
  const kinds: ResponseKind[] = ["ping", "auction", "info", "run", "stop", "lameduck"];
  for (const kind of kinds) {
    const bytes = encodeResponse(kind, { id: "a" });
    assert.deepEqual(JSON.parse(Buffer.from(bytes).toString()), {
      type: `io.nats.nex.v1.${kind}_response`,
      data: { id: "a" },
    });
    assert.deepEqual(decodeResponse(bytes, data), { id: "a" });
  }
});

test("encodeFailure writes the text for people, Go Nex's empty data, and our code", () => {
  const bytes = encodeFailure("stop", new NexError("no_such_workload", "No such workload"));
  assert.deepEqual(JSON.parse(Buffer.from(bytes).toString()), {
    type: "io.nats.nex.v1.stop_response",
    data: "",
    error: "No such workload",
    nex: { version: 1, code: "no_such_workload" },
  });
});

test("encodeFailure omits cause, advice and ids", () => {
  const error = new NexError("internal", "x", { cause: new Error("c"), advice: "a", ids: { node: "N" } });
  const sent = JSON.parse(Buffer.from(encodeFailure("run", error)).toString());
  assert.deepEqual(Object.keys(sent).sort(), ["data", "error", "nex", "type"]);
  assert.deepEqual(sent.nex, { version: 1, code: "internal" });
});

test("decodeResponse throws every code that encodeFailure wrote, with its message", () => {
  for (const code of Object.keys(errorCatalogue)) {
    assert.ok(isErrorCode(code));
    const error = refusal(encodeFailure("run", new NexError(code, "Cannot do it: it is so")));
    assert.equal(error.code, code);
    assert.equal(error.message, "Cannot do it: it is so");
  }
});

test("decodeResponse recognizes Go Nex's failures by the start of their text", () => {
  const cases: [string, string][] = [
    ["No such workload", "no_such_workload"],
    ["Node is in lame duck mode. Workload deploy request denied", "lame_duck"],
    ["Node is at maximum workload limit. Deploy request denied", "workload_limit"],
    ["Unsupported workload type on this node: oci", "unsupported_type"],
    ["Unsupported workload type for trigger subject registration: native", "triggers_not_supported"],
    ["The trigger subject $JS.foo overlaps with subject(s) in this node's deny list", "trigger_denied"],
    [
      "Failed to decrypt environment for deploy request: illegal base64 data at input byte 0",
      "environment_unreadable",
    ],
    ["invalid workload issuer: A…", "issuer_not_allowed"],
    ["Failed to get agent client from pool: no available agent client in pool", "no_ready_machine"],
    ["Failed to cache workload bytes: nats: object not found", "artifact_not_found"],
    ["Workload file size would exceed node limitations", "artifact_too_large"],
    ["Failed to deploy workload: workload rejected by agent: x", "workload_rejected"],
    ["Failed to stop workload: x", "stop_failed"],
    ["Unable to deserialize deploy request: x", "malformed_request"],
    ["Invalid stop request: x", "token_invalid"],
    ["Invalid deploy request: could not decode workload JWT: expected 3 chunks", "token_invalid"],
    ["Something that nobody knows", "internal"],
    ["", "internal"],
  ];
  for (const [text, code] of cases) {
    const error = refusal(envelope({ type: "t", data: "", error: text }));
    assert.equal(error.code, code, text);
    assert.equal(error.message, text);
  }
});

test("decodeResponse uses the text if the code is unknown or malformed", () => {
  for (const code of ["brand_new", "toString", "__proto__", "", 5, null]) {
    const bytes = envelope({ data: "", error: "No such workload", nex: { version: 1, code } });
    assert.equal(refusal(bytes).code, "no_such_workload", String(code));
  }
  for (const nex of [5, "x", [], null]) {
    assert.equal(refusal(envelope({ data: "", error: "No such workload", nex })).code, "no_such_workload");
  }
});

test("decodeResponse checks error first, and reads null as no error", () => {
  assert.equal(refusal(envelope({ data: { id: "a" }, error: "No such workload" })).code, "no_such_workload");
  assert.deepEqual(decodeResponse(envelope({ type: "t", data: { id: "a" }, error: null }), data), {
    id: "a",
  });
});

test("decodeResponse refuses bytes that are not an envelope, or have other data", () => {
  const bad: unknown[] = [
    {},
    [],
    5,
    "x",
    null,
    { data: 5 },
    { data: "" },
    { data: { id: 5 } },
    { data: { id: "a" }, error: {} },
  ];
  for (const value of bad)
    assert.equal(refusal(envelope(value)).code, "answer_unreadable", JSON.stringify(value));
  for (const text of ["", "{", "\xff"]) {
    assert.equal(refusal(Buffer.from(text, "latin1")).code, "answer_unreadable", text);
  }
});

test("decodeResponse reads an answer that exceeds the request limit: a node with many workloads", () => {
  const machine = (at: number): object => ({
    id: `dc2f2m1ksdudk${String(at).padStart(7, "0")}`,
    healthy: true,
    uptime: "1h0m0s",
    namespace: "default",
    workload: {
      name: `echo-${at}`,
      description: "d",
      runtime: "1h0m0s",
      type: "native",
      hash: "0".repeat(64),
    },
  });
  const machines = Array.from({ length: 2000 }, (_, at) => machine(at));
  const bytes = encodeResponse("info", { version: "1", uptime: "1s", public_xkey: "X", machines });
  assert.ok(bytes.length > 400_000);
  assert.equal(decodeResponse(bytes, infoResponseSchema).machines.length, 2000);
});

test("decodeResponse refuses an answer over the limit", () => {
  const bytes = envelope({ data: { id: "x".repeat(responseBytesMax) } });
  assert.match(
    refusal(bytes).message,
    /^Cannot read the answer of a node: body has \d+ bytes, at most \d+ are read$/,
  );
});
