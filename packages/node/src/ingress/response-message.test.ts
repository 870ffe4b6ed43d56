import assert from "node:assert/strict";
import { test } from "node:test";
import { responseOf } from "./response-message.ts";

function reply(head: string, body = ""): ReturnType<typeof responseOf> {
  const bytes = Buffer.from(`${head}${body}`, "latin1");
  const places = { subjectStart: 0, subjectEnd: 0, replyStart: 0, replyEnd: 0, headersStart: 0 };
  return responseOf({ bytes, ...places, payloadStart: head.length, payloadEnd: bytes.length });
}

test("responseOf gives each error of a function its status, and keeps the error's text", () => {
  const expected: [code: string, status: number, retryAfter: string | undefined][] = [
    ["400", 400, undefined],
    ["408", 504, undefined],
    ["429", 429, "1"],
    ["500", 500, undefined],
    ["503", 503, "1"],
    ["7", 500, undefined],
    ["swordfish", 500, undefined],
  ];
  for (const [code, status, retryAfter] of expected) {
    const found = reply(
      `NATS/1.0\r\nNats-Service-Error: swordfish\r\nNats-Service-Error-Code: ${code}\r\n\r\n`,
      "swordfish",
    );
    assert.ok(found.kind === "failed");
    assert.deepEqual([found.status, found.headers["Retry-After"]], [status, retryAfter], code);
    assert.doesNotMatch(JSON.stringify(found), /swordfish/);
  }
  const nobody = reply("NATS/1.0 503\r\n\r\n");
  assert.ok(nobody.kind === "failed" && nobody.status === 503);
});

test("responseOf takes a status of 200 to 599 alone", () => {
  for (const status of ["200", "404", "599"]) {
    const found = reply(`NATS/1.0\r\nnex-http-status: ${status}\r\n\r\n`, "x");
    assert.ok(found.kind === "response" && found.status === Number(status), status);
  }
  for (const status of ["100", "199", "600", "999", "2000", "20", "abc", "-200", "2e2"]) {
    const found = reply(`NATS/1.0\r\nNex-Http-Status: ${status}\r\n\r\n`);
    assert.ok(found.kind === "failed" && found.status === 502, status);
  }
});

test("responseOf passes headers that HTTP can hold, each as often as it comes", () => {
  const found = reply(
    "NATS/1.0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nBad Name: 1\r\nX: caf\xc3\xa9\r\nY: a\x01b\r\nno colon\r\n: empty\r\n\r\n",
    "body",
  );
  assert.ok(found.kind === "response");
  assert.deepEqual(found.headers, [
    ["Set-Cookie", "a"],
    ["Set-Cookie", "b"],
    ["X", "caf\xc3\xa9"],
  ]);
  assert.equal(found.body.toString(), "body");
  assert.deepEqual(reply("", "x"), { kind: "response", status: 200, headers: [], body: Buffer.from("x") });
});
