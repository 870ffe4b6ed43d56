/** §1.7 Tokens, sealed environments, locations and the object store. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { objectLocation } from "@nexengine/protocol/formats";
import { sealEnvironment } from "@nexengine/protocol/tokens";
import { linesOf } from "./feed-readers.ts";
import {
  call,
  deployBody,
  freshName,
  info,
  legacyToken,
  nowSeconds,
  runFunction,
  runService,
  sendDeploy,
  sendStop,
  triggerOf,
} from "./requests.ts";
import type { Row } from "./suite.ts";
import type { Target } from "./target.ts";

const source = "(s, p) => 1";
const v8 = { type: "v8" } as const;

/** Deploys with other members and stops again. @returns the refusal, `undefined` when it was accepted. */
async function outcome(target: Target, members: object, name = freshName()): Promise<string | undefined> {
  const { bucket, key } = await target.client.upload({ bytes: Buffer.from(source) }, { key: name });
  const location = objectLocation(bucket, key);
  const answer = await sendDeploy(target, deployBody(target, { name, type: "v8", location }, members));
  if (answer.error !== undefined) return answer.error;
  const { id } = answer.data as { id: string };
  if (!target.ours) await delay(1_000);
  assert.equal((await sendStop(target, { id, name })).error, undefined);
  return undefined;
}

export function tokenRows(row: Row): void {
  row(
    "1.7.1",
    "a token of the form ed25519-nkey is accepted without exp or aud, with any hash that is no digest",
    async (target) => {
      for (const data of [undefined, { hash: "any text" }]) {
        const name = freshName();
        assert.equal(
          await outcome(target, { workload_jwt: legacyToken(target, name, data) }, name),
          undefined,
        );
      }
    },
    v8,
  );
  row(
    "1.7.1",
    "a token of the form ed25519 is signed over its payload alone",
    async (target) => {
      const name = freshName();
      const [, payload = ""] = legacyToken(target, name).split(".");
      const header = Buffer.from('{"typ":"jwt","alg":"ed25519"}').toString("base64url");
      const signature = Buffer.from(target.issuer.sign(Buffer.from(payload))).toString("base64url");
      const workload_jwt = `${header}.${payload}.${signature}`;
      assert.equal(await outcome(target, { workload_jwt }, name), undefined);
    },
    v8,
  );
  row(
    "1.7.1",
    "a token that has expired is refused",
    async (target) => {
      const name = freshName();
      const expires = nowSeconds() - 3_600;
      const workload_jwt = legacyToken(target, name, undefined, { expires });
      assert.equal(
        await outcome(target, { workload_jwt }, name),
        "Invalid deploy request: standard claims within JWT are not valid",
      );
    },
    v8,
  );
  row(
    "1.7.1",
    "a SHA-256 as hash is compared with the artifact (S1)",
    async (target) => {
      const name = freshName();
      const workload_jwt = legacyToken(target, name, { hash: "0".repeat(64) });
      assert.match((await outcome(target, { workload_jwt }, name)) ?? "", /not the one that was signed/);
    },
    { ...v8, ours: "it compares the hash with nothing" },
  );
}

export function environmentRows(row: Row): void {
  row(
    "1.7.2",
    "a sealed null is an empty environment",
    async (target) => {
      const environment = sealEnvironment(null, target.publisher, target.xkey);
      assert.equal(await outcome(target, { environment }), undefined);
    },
    v8,
  );
  row(
    "1.7.2",
    "a service gets the variables with their names in upper case",
    async (target) => {
      const environment = sealEnvironment({ Mixed_case: "ü☃" }, target.publisher, target.xkey);
      const lines = await linesOf(target, async (shown) => {
        await using _workload = await runService(target, ["env", "wait"], { environment });
        await shown(/^end of environment/m);
      });
      assert.match(lines.map(({ text }) => text).join("\n"), /^MIXED_CASE=ü☃$/m);
    },
    { type: "native" },
  );
}

export function locationRows(row: Row): void {
  const accepted = (demand: string, location: (key: string) => unknown, ours?: string): void =>
    row(
      "1.7.3",
      demand,
      async (target) => {
        const name = freshName();
        assert.equal(await outcome(target, { location: location(name) }, name), undefined);
      },
      { ...v8, ...(ours === undefined ? {} : { ours }) },
    );
  accepted("location as Go's whole object is accepted", (key) => objectLocation("NEXCLIFILES", key));
  accepted("location as a part of the object is accepted", (key) => ({
    Scheme: "nats",
    Host: "NEXCLIFILES",
    Path: `/${key}`,
  }));
  accepted("its names match in any case, unknown ones pass by, User may be {}", (key) => ({
    scheme: "nats",
    HOST: "NEXCLIFILES",
    path: `/${key}`,
    User: {},
    Unknown: 1,
  }));
  accepted("the scheme is not looked at, and slashes around the key are not part of it", (key) => ({
    Scheme: "http",
    Host: "NEXCLIFILES",
    Path: `//${key}/`,
  }));
  accepted("location as text is accepted", (key) => `nats://NEXCLIFILES/${key}`, "it refuses a text");
  row(
    "1.7.3",
    "the path is not escaped, and the bucket keeps its case",
    async (target) => {
      const key = "a/b c%20d";
      const { bucket } = await target.client.upload(
        { bytes: Buffer.from(source) },
        { key, bucket: "Mixed-Case" },
      );
      assert.equal(await outcome(target, { location: objectLocation(bucket, key) }), undefined);
      const wrong = objectLocation(bucket.toLowerCase(), key);
      assert.match((await outcome(target, { location: wrong })) ?? "", /stream not found/);
    },
    v8,
  );
}

export function objectStoreRows(row: Row): void {
  row(
    "1.7.4",
    "an artifact comes from the object store, in as many chunks as it has, and INFO has its SHA-256",
    async (target) => {
      const large = `${source} // ${"x".repeat(11_000)}`;
      await using workload = await runFunction(target, large);
      const machine = (await info(target)).machines.find(({ id }) => id === workload.id);
      assert.equal(machine?.workload.hash, workload.sha256);
      assert.equal(await call(target, triggerOf(target, workload.name)), "1");
    },
    v8,
  );
  row(
    "1.7.4",
    "jsdomain names the JetStream domain of the artifact; empty and absent are the default",
    async (target) => {
      const reply = await target.connection.request("$JS.API.INFO", "", { timeout: 5_000 });
      const { domain } = reply.json() as { domain?: string };
      for (const jsdomain of ["", undefined, null, ...(domain ? [domain] : [])]) {
        assert.equal(await outcome(target, { jsdomain }), undefined, String(jsdomain));
      }
      assert.match(
        (await outcome(target, { jsdomain: "elsewhere" })) ?? "",
        /^Failed to cache workload bytes: /,
      );
    },
    v8,
  );
}
