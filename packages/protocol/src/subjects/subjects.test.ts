import assert from "node:assert/strict";
import { test } from "node:test";
import {
  auctionSubject,
  defaultTrigger,
  deploySubject,
  eventSubject,
  eventWildcard,
  functionQueueGroup,
  infoSubject,
  lameDuckSubject,
  logSubject,
  nodeRequestWildcard,
  parseEventSubject,
  parseLogSubject,
  parseNodeRequestSubject,
  parseWorkloadPingSubject,
  pingNodeSubject,
  pingSubject,
  stopSubject,
  workloadPingSubject,
  workloadPingWildcard,
} from "./subjects.ts";

const nodeId = "NBA7M6Z4FBDJ4ZBBBRX5DVC2A3HXEJ7CLNK6OPOJZOTRLQKQVJNAS7XQ";
const workloadId = "dc2f2m1ksdudkcirvlfg";

test("the subjects of requests are those of Go Nex", () => {
  assert.equal(pingSubject, "$NEX.PING");
  assert.equal(auctionSubject, "$NEX.AUCTION");
  assert.equal(pingNodeSubject("N"), "$NEX.PING.N");
  assert.equal(lameDuckSubject("N"), "$NEX.LAMEDUCK.N");
  assert.equal(workloadPingSubject("a"), "$NEX.WPING.a");
  assert.equal(workloadPingSubject("a", "echo"), "$NEX.WPING.a.echo");
  assert.equal(workloadPingWildcard, "$NEX.WPING.>");
  assert.equal(infoSubject("a", "N"), "$NEX.INFO.a.N");
  assert.equal(deploySubject("a", "N"), "$NEX.DEPLOY.a.N");
  assert.equal(stopSubject("a", "N"), "$NEX.STOP.a.N");
  assert.equal(nodeRequestWildcard("DEPLOY", "N"), "$NEX.DEPLOY.*.N");
});

test("parseNodeRequestSubject reverses the three builders", () => {
  for (const build of [infoSubject, deploySubject, stopSubject]) {
    assert.deepEqual(parseNodeRequestSubject(build("team-a", nodeId)), { namespace: "team-a", nodeId });
  }
  assert.deepEqual(parseNodeRequestSubject("$NEX.DEPLOY"), { namespace: "", nodeId: "" });
});

test("parseWorkloadPingSubject reverses workloadPingSubject; a blank token means no filter", () => {
  assert.deepEqual(parseWorkloadPingSubject(workloadPingSubject("a")), { namespace: "a" });
  assert.deepEqual(parseWorkloadPingSubject(workloadPingSubject("a", "echo")), {
    namespace: "a",
    idOrName: "echo",
  });
  assert.deepEqual(parseWorkloadPingSubject("$NEX.WPING"), {});
  assert.deepEqual(parseWorkloadPingSubject("$NEX.WPING. . "), {});
});

test("parseEventSubject reverses eventSubject, and refuses other forms", () => {
  const subject = eventSubject("a", "workload_deployed");
  assert.equal(subject, "$NEX.events.a.workload_deployed");
  assert.deepEqual(parseEventSubject(subject), { namespace: "a", type: "workload_deployed" });
  assert.equal(eventWildcard("a"), "$NEX.events.a.*");
  for (const other of ["$NEX.events.a", `${subject}.x`, "$NEX.logs.a.b", "NEX.events.a.b", ""]) {
    assert.equal(parseEventSubject(other), undefined, other);
  }
});

test("parseLogSubject reverses logSubject, and reads Go Nex's reverse order", () => {
  const at = { namespace: "a", nodeId, workloadName: "echo", workloadId };
  assert.equal(logSubject(at), `$NEX.logs.a.${nodeId}.echo.${workloadId}`);
  assert.deepEqual(parseLogSubject(logSubject(at)), at);
  assert.deepEqual(parseLogSubject(`$NEX.logs.a.${nodeId}.${workloadId}.echo`), at);
});

test("parseLogSubject keeps our order if the name also has the form of an id", () => {
  const at = { namespace: "a", nodeId, workloadName: "aaaaaaaaaaaaaaaaaaaa", workloadId };
  assert.deepEqual(parseLogSubject(logSubject(at)), at);
});

test("parseLogSubject refuses other forms", () => {
  const bad = [
    `$NEX.logs.system.${nodeId}.stdout`,
    "$NEX.logs.a.b.c.d.e",
    "$NEX.events.a.b.c.d",
    "x.logs.a.b.c.d",
    "",
  ];
  for (const subject of bad) assert.equal(parseLogSubject(subject), undefined, subject);
});

test("functionQueueGroup and defaultTrigger contain namespace and workload", () => {
  assert.equal(functionQueueGroup("a", "echo"), "nex.a.echo");
  assert.equal(defaultTrigger("a", "echo"), "a.echo");
});
