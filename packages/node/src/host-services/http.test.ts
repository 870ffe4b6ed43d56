import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Quota } from "../budget/quota.ts";
import { AddressRules } from "./addresses.ts";
import { HttpService } from "./http.ts";
import { AnswerRoom } from "./service.ts";

const mebibyte = 1_048_576;

/** A server on loopback that answers every request with this many bytes. */
async function serve(bytes: number): Promise<{ server: Server; url: Buffer; rules: AddressRules }> {
  const server = createServer((_, response) => void response.end(Buffer.alloc(bytes)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = Buffer.from(`http://127.0.0.1:${port}/`);
  return { server, url, rules: new AddressRules([`127.0.0.1:${port}`]) };
}

test("answers that are collected count against the budget: beyond it a call gets 429, and later ones are served", async () => {
  const { server, url, rules } = await serve(2 * mebibyte);
  const held = new Quota({ common: 7 * mebibyte, guaranteed: 0, ownerMax: 7 * mebibyte }).share();
  const sockets = new Quota({ common: 64, guaranteed: 0, ownerMax: 64 }).share();
  const http = new HttpService(rules, 30_000, sockets);
  try {
    const rooms = Array.from({ length: 12 }, () => new AnswerRoom(held));
    const codes: unknown[] = [];
    const ask = async (room: AnswerRoom): Promise<void> => {
      try {
        await http.send([Buffer.from("GET"), url], room);
      } catch (error) {
        room.giveBack();
        codes.push((error as { code?: unknown }).code);
      }
    };
    await Promise.all(rooms.map(ask));
    // Three answers fit. Those that had room stay in it until they are sent.
    assert.ok(codes.length >= 9 && codes.length < 12, `${codes.length} were refused`);
    assert.ok(codes.every((code) => code === 429));
    assert.ok(held.used <= 7 * mebibyte);
    for (const room of rooms) room.giveBack();
    assert.deepEqual([held.used, sockets.used], [0, 0]);
    const { kind } = await http.send([Buffer.from("GET"), url], new AnswerRoom(held));
    assert.equal(kind, "list");
  } finally {
    server.close();
  }
});

test("a request takes one of the function's sockets, and is refused with 429 when there is none", async () => {
  const { server, url, rules } = await serve(10);
  const held = new Quota({ common: mebibyte, guaranteed: 0, ownerMax: mebibyte }).share();
  const sockets = new Quota({ common: 0, guaranteed: 2, ownerMax: 2 }).share();
  const http = new HttpService(rules, 30_000, sockets);
  try {
    const calls = Array.from({ length: 5 }, () => http.send([Buffer.from("GET"), url], new AnswerRoom(held)));
    const outcomes = await Promise.allSettled(calls);
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 2);
    assert.equal(sockets.used, 0);
  } finally {
    server.close();
  }
});
