import assert from "node:assert/strict";
import { test } from "node:test";
import { ReplyRules, type ReplyRulesOptions } from "./reply-rules.ts";

function allowed(options: Partial<ReplyRulesOptions>, subjects: readonly string[]): boolean[] {
  const none = { isOwnConnection: false, inboxPrefixes: [], allowed: [], denied: [] };
  const rules = new ReplyRules({ ...none, ...options });
  return subjects.map((subject) => {
    const bytes = Buffer.from(`>>${subject}<<`);
    return rules.allows(bytes, 2, bytes.length - 2);
  });
}

test("ReplyRules lets replies go to inboxes only, on a connection that many share", () => {
  const subjects = ["_INBOX.a.b", "_INBOX_acme.x", "_R_.x.y", "_R_x", "orders.new", "_INBO", "", "$JS.ACK.x"];
  assert.deepEqual(allowed({}, subjects), [true, true, true, false, false, false, false, false]);
});

test("ReplyRules lets them go where the node's configuration says, and to its own inbox prefix", () => {
  const subjects = ["replies.a", "replies.a.b", "acme.inbox.x", "acme.inboxes.x"];
  const options = { allowed: ["replies.*"], inboxPrefixes: ["acme.inbox"] };
  assert.deepEqual(allowed(options, subjects), [true, false, true, false]);
});

test("ReplyRules lets them go anywhere but to the server on a connection of one's own", () => {
  assert.deepEqual(allowed({ isOwnConnection: true }, ["orders.new", "$SYS.x"]), [true, false]);
});

test("ReplyRules applies the list of denied subjects on every connection", () => {
  const denied = ["orders.>", "_INBOX.victim.*"];
  const subjects = ["orders.new", "other", "_INBOX.victim.x", "_INBOX.other.x"];
  assert.deepEqual(allowed({ denied, isOwnConnection: true }, subjects), [false, true, false, true]);
  assert.deepEqual(allowed({ denied, allowed: [">"] }, subjects), [false, true, false, true]);
});
