/** Requests recorded at a node of Go Nex, sent to ours: the answers are the same, but for what differs on purpose. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { auctionSubject, lameDuckSubject } from "@nexengine/protocol/subjects";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { bytesOf, type Recorded, recorded } from "../packages/protocol/src/fixtures/recorded.ts";
import corpus from "./fixtures/reference-verdicts.json" with { type: "json" };
import { type Asked, ask, askQuietly, type Envelope } from "./support/ask.ts";

let nexus: TestNexus;
before(async () => {
  nexus = await startTestNexus();
});
after(() => nexus[Symbol.asyncDispose]());

const asked = (): Asked => ({ connection: nexus.client.connection, nodeId: nexus.node.id });

/** Sends a request, and says in a word what became of it. */
async function verdictOf(subject: string, body: Uint8Array | string): Promise<string> {
  const quiet = /\.(WPING|AUCTION)/.test(subject);
  return wordOf(await (quiet ? askQuietly : ask)(asked(), subject, body));
}

function wordOf(answer: Pick<Envelope, "data" | "error" | "nex"> | undefined): string {
  if (answer === undefined) return "silent";
  if (answer.error === undefined) return "answered";
  assert.equal(answer.data, "");
  if (answer.nex !== undefined) assert.notEqual(answer.nex.code, "internal", answer.error);
  return `error: ${fixedPart(answer.error)}`;
}

/** A refusal up to its variable part: the words of a decoder, or a quoted value. */
const fixedPart = (text: string): string =>
  text.replace(/: (?!could not|stop claims|the only|no ).*$/s, ": ");

/** A request that the reference met otherwise than we do. */
interface Difference {
  ours: string;
  reason: string;
}

const missing = "what a deploy needs is missed by name; the Go Nex crashes";
/** By subject and case. */
const differences: Readonly<Record<string, Difference>> = {
  "AUCTION null": { ours: "answered", reason: "asks for nothing; the Go Nex crashes" },
  "DEPLOY.default.<node> only-type": {
    ours: "error: Failed to deploy workload: ",
    reason: missing,
  },
};

describe("a malformed request", () => {
  const seen = new Set<string>();
  for (const [place, cases] of Object.entries(corpus.verdicts)) {
    for (const [name, theirs] of Object.entries(cases)) {
      const difference = differences[`${place} ${name}`];
      test(`${place} ${name}: ${difference?.ours ?? theirs}${difference ? ` (${difference.reason})` : ""}`, async () => {
        const body = corpus.bodies[name as keyof typeof corpus.bodies];
        const subject = `$NEX.${place.replace("<node>", nexus.node.id)}`;
        const expected =
          difference?.ours ?? theirs.replace(/^error: (.*)$/s, (_, text) => `error: ${fixedPart(text)}`);
        assert.equal(await verdictOf(subject, body), expected);
        if (difference !== undefined) assert.notEqual(difference.ours, theirs, "this is no difference");
        seen.add(`${place} ${name}`);
      });
    }
  }

  test("is listed as a difference only where it was recorded", () => {
    for (const key of Object.keys(differences)) assert.ok(seen.has(key), key);
  });
});

const sealedForAnother = {
  ours: "error: Failed to decrypt environment for deploy request: ",
  reason: "its environment is sealed for the node that it was recorded of",
};
const waits = { ...sealedForAnother, reason: "its pool was empty; ours waits for a machine" };
/** By the class of the recording, and of a refused one the type that was asked for. */
const recordedDifferences: Readonly<Record<string, Difference>> = {
  "$NEX.DEPLOY.default.<node> type=native": sealedForAnother,
  "$NEX.DEPLOY.default.<node> type=v8": sealedForAnother,
  "$NEX.DEPLOY.default.<node> type=wasm": sealedForAnother,
  "$NEX.DEPLOY.default.<node> -> error native": waits,
  "$NEX.DEPLOY.default.<node> -> error v8": waits,
  "$NEX.DEPLOY.default.<node> -> error wasm": waits,
  "$NEX.WPING.default": { ours: "silent", reason: "the workload is not on this node" },
  "$NEX.WPING.default.echosvc": { ours: "silent", reason: "the workload is not on this node" },
  "$NEX.STOP.default.<node>": { ours: "error: No such workload", reason: "the workload is not on this node" },
  "$NEX.STOP.default.<node> -> error": {
    ours: "error: No such workload",
    reason: "the workload is not on this node",
  },
};

const typeOf = ({ request }: Recorded): unknown => (request as { type?: unknown }).type;

describe("a recorded request", () => {
  const requests = recorded("$NEX.").filter(
    ({ subject, replies }) => replies.length > 0 || /\.(WPING|AUCTION)/.test(subject),
  );
  // Requests that end the taking of deploys come last.
  requests.sort((a, b) => Number(a.class.includes("LAMEDUCK")) - Number(b.class.includes("LAMEDUCK")));
  for (const [at, recording] of requests.entries()) {
    const difference =
      recordedDifferences[recording.class] ?? recordedDifferences[`${recording.class} ${typeOf(recording)}`];
    const theirs = wordOf(recording.replies[0] as Envelope | undefined);
    const expected = difference === undefined || difference.ours === theirs ? theirs : difference.ours;
    const why = expected === theirs ? "" : ` (${difference?.reason})`;
    test(`${at + 1}, ${recording.class}: ${expected}${why}`, async () => {
      const subject = recording.subject.replace(/N[A-Z2-7]{55}/, nexus.node.id);
      assert.equal(await verdictOf(subject, bytesOf(recording.request)), expected);
    });
  }

  test("leaves the node as it should be: in lame duck mode, and without a bid", async () => {
    assert.equal((await ask(asked(), lameDuckSubject(nexus.node.id))).error, undefined);
    assert.equal(await askQuietly(asked(), auctionSubject, "null"), undefined);
  });
});
