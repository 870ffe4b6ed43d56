/** §1.6 DEPLOY, STOP and LAMEDUCK. */
import assert from "node:assert/strict";
import { objectLocation } from "@nexengine/protocol/formats";
import { auctionSubject, deploySubject, lameDuckSubject } from "@nexengine/protocol/subjects";
import { createKey, sealEnvironment, signerOfSeed } from "@nexengine/protocol/tokens";
import { ask, askQuietly } from "../support/ask.ts";
import { linesOf } from "./feed-readers.ts";
import {
  call,
  deployBody,
  freshName,
  info,
  legacyToken,
  ping,
  runFunction,
  runService,
  sendDeploy,
  sendStop,
  triggerOf,
  uploadSource,
} from "./requests.ts";
import type { Row } from "./suite.ts";
import type { Target } from "./target.ts";

const source = "(s, p) => 1";
const v8 = { type: "v8" } as const;

/** The text with which a deploy with other members is refused. */
async function refusal(target: Target, members: object, type: "native" | "v8" = "v8"): Promise<string> {
  const location = await uploadSource(target, source);
  const answer = await sendDeploy(target, deployBody(target, { name: freshName(), type, location }, members));
  assert.equal(answer.data, "", "it was accepted");
  return answer.error ?? "";
}

export function deployRows(row: Row): void {
  row(
    "1.6",
    "a DEPLOY that is accepted answers started, id, issuer and name",
    async (target) => {
      const name = freshName();
      const location = await uploadSource(target, source);
      const { data } = await sendDeploy(target, deployBody(target, { name, type: "v8", location }));
      const { started, id, issuer, name: told } = data as Record<string, unknown>;
      assert.deepEqual([started, issuer, told], [true, target.issuer.publicKey, name]);
      await using _workload = {
        [Symbol.asyncDispose]: async () => void (await sendStop(target, { id: String(id), name })),
      };
      assert.ok((await info(target)).machines.some((machine) => machine.id === id));
    },
    v8,
  );
  row(
    "1.6",
    "argv are the arguments of a service, without a shell",
    async (target) => {
      const words = ["argv", "$HOME", "a b", "*"];
      const lines = await linesOf(target, async (shown) => {
        await using _workload = await runService(target, [...words, "wait"]);
        await shown(/^argv\[5\]/m);
      });
      const text = lines.map((line) => line.text).join("\n");
      for (const [at, word] of words.entries()) assert.ok(text.includes(`argv[${at + 1}]=${word}`), word);
    },
    { type: "native" },
  );
  row(
    "1.6",
    "a trigger subject of trigger_subjects calls the function, each of them",
    async (target) => {
      const subjects = [`${target.namespace}.one`, `${target.namespace}.two.*`];
      await using _workload = await runFunction(target, "(s, p) => s", { trigger_subjects: subjects });
      for (const subject of [`${target.namespace}.one`, `${target.namespace}.two.x`]) {
        assert.equal(await call(target, subject), JSON.stringify(subject));
      }
    },
    v8,
  );
  row(
    "1.6",
    "target_node is compared with nothing in a legacy request",
    async (target) => {
      await using _workload = await runFunction(target, source, { target_node: createKey("node").publicKey });
    },
    v8,
  );
  row(
    "1.6",
    "description and target_node may be absent, then and later (W3, W4)",
    async (target) => {
      const members = { description: undefined, target_node: undefined };
      await using workload = await runFunction(target, source, members);
      assert.equal(await call(target, triggerOf(target, workload.name)), "1");
      await ping(target);
      await info(target);
      assert.notEqual(await askQuietly(target, auctionSubject), undefined);
    },
    { ...v8, ours: "without one of them it crashes later" },
  );

  row("1.6", "4: bad JSON is refused with the decoder's words", async (target) => {
    for (const body of ["", "{{{", "[]", "1", '"x"', '{"type":5}']) {
      const { error } = await sendDeploy(target, body);
      assert.match(error ?? "", /^Unable to deserialize deploy request: /);
    }
  });
  row("1.6", "5: a type that the node does not offer is refused", async (target) => {
    for (const type of ["zzz", "", "V8"]) {
      assert.equal(
        (await sendDeploy(target, { type })).error,
        `Unsupported workload type on this node: ${type}`,
      );
    }
  });
  row(
    "1.6",
    "6: triggers on a service are refused",
    async (target) => {
      assert.equal(
        await refusal(target, { trigger_subjects: ["a"] }, "native"),
        "Unsupported workload type for trigger subject registration: native",
      );
    },
    { type: "native" },
  );
  row(
    "1.6",
    "7: a trigger subject that overlaps the deny list is refused, the built-in entries too",
    async (target) => {
      const denied = ["$JS.foo", "$SYS.x", "$NEX.>", ">", "*.>", ...(target.own ? ["denied.x", "*.x"] : [])];
      for (const subject of denied) {
        const text = await refusal(target, { trigger_subjects: [subject] });
        assert.ok(
          text.startsWith(`The trigger subject ${subject} overlaps with subject(s) in this node's deny list`),
          text,
        );
      }
    },
    v8,
  );
  row(
    "1.6",
    "8: an environment that can't be opened is refused with the reason",
    async (target) => {
      const head = "Failed to decrypt environment for deploy request: ";
      const sealed = sealEnvironment({}, target.publisher, createKey("curve").publicKey);
      for (const [members, reason] of [
        [{ environment: "!" }, "illegal base64 data at input byte 0"],
        [{ environment: "eGt2MQ==" }, "nkeys: encrypted input is not valid"],
        [{ sender_public_key: "X" }, "nkeys: not a valid sender public curve key"],
        [{ environment: sealed }, "nkeys: could not decrypt input"],
      ] as const) {
        assert.equal(await refusal(target, members), head + reason);
      }
    },
    v8,
  );
  row(
    "1.6",
    "9: a token that is none, or was altered, is refused with the reason",
    async (target) => {
      const head = "Invalid deploy request: could not decode workload JWT: ";
      const token = legacyToken(target, "x");
      const altered = `${token.slice(0, -4)}AAAA`;
      assert.equal(await refusal(target, { workload_jwt: "none" }), `${head}expected 3 chunks`);
      assert.equal(
        await refusal(target, { workload_jwt: altered }),
        `${head}claim failed V2 signature verification`,
      );
    },
    v8,
  );
  row(
    "1.6",
    "12: an artifact that is not there is refused, bucket and object told apart",
    async (target) => {
      await uploadSource(target, source, "there");
      for (const [bucket, key, reason] of [
        ["NO-SUCH-BUCKET", "x", "nats: stream not found"],
        ["NEXCLIFILES", "no-such-key", "nats: object not found"],
      ] as const) {
        const text = await refusal(target, { location: objectLocation(bucket, key) });
        assert.ok(text.startsWith(`Failed to cache workload bytes: ${reason}`), text);
      }
    },
    v8,
  );
  row(
    "1.6",
    "14: a function without a trigger is refused",
    async (target) => {
      for (const trigger_subjects of [undefined, null, []]) {
        assert.equal(
          await refusal(target, { trigger_subjects }),
          "Failed to deploy workload: workload rejected by agent: at least one trigger subject is required for this workload type",
        );
      }
    },
    v8,
  );
  row(
    "1.6",
    "14: what the agent can't start is refused with the agent's words (B19)",
    async (target) => {
      const location = await uploadSource(target, "(s, p) => {");
      const text = await refusal(target, { location });
      assert.ok(text.startsWith("Failed to deploy workload: "), text);
      assert.doesNotMatch(text, /timeout/);
    },
    v8,
  );
  row(
    "1.6",
    "14: a function is not essential",
    async (target) => {
      assert.match(
        await refusal(target, { essential: true }),
        /^Failed to deploy workload: .*essential flag is not supported for workload type$/,
      );
    },
    v8,
  );
  row(
    "1.6",
    "14: a service that is not a static executable for this processor is refused (S14)",
    async (target) => {
      const header = Buffer.alloc(64);
      header.write("\x7fELF\x02\x01\x01", "latin1");
      for (const bytes of [Buffer.from("#!/bin/sh\n"), header]) {
        const { bucket, key } = await target.client.upload({ bytes }, { key: freshName() });
        const text = await refusal(target, { location: objectLocation(bucket, key) }, "native");
        assert.match(text, /^Failed to deploy workload: Failed to validate workload: /);
      }
    },
    { type: "native", ours: "in a node without sandbox nothing is checked" },
  );
}

export function stopRows(row: Row): void {
  row("1.6", "STOP 1: bad JSON is refused with the decoder's words", async (target) => {
    const subject = deploySubject(target.namespace, target.nodeId).replace("DEPLOY", "STOP");
    for (const body of ["", "{{{", "[]", "1", '{"workload_id":5}']) {
      const { error } = await ask(target, subject, body);
      assert.match(error ?? "", /^Unable to deserialize stop request: /);
    }
  });
  row("1.6", "STOP 2: an unknown id is no such workload, whatever the token", async (target) => {
    for (const workload_jwt of ["a.b.c", undefined, null]) {
      const answer = await sendStop(target, { id: "none", name: "none" }, { workload_jwt });
      assert.equal(answer.error, "No such workload");
    }
  });
  row(
    "1.6",
    "STOP 3: a token that is none, of another name or another issuer is refused by the reason",
    async (target) => {
      await using workload = await runFunction(target, source);
      const stranger = { ...target, issuer: signerOfSeed(createKey("account").seed) };
      for (const [workload_jwt, reason] of [
        ["none", "could not decode workload JWT: expected 3 chunks"],
        [
          legacyToken(target, "other", {}),
          "stop claims subject does not match original start claims subject",
        ],
        [
          legacyToken(stranger, workload.name, {}),
          "the only entity allowed to terminate a workload is the issuer that originally started it",
        ],
      ] as const) {
        const { error } = await sendStop(target, workload, { workload_jwt });
        assert.equal(error, `Invalid stop request: ${reason}`);
      }
    },
    { ...v8, ours: "in the second of the deploy it says something else" },
  );
  row(
    "1.6",
    "STOP 3: the deploy token itself is refused as captured",
    async (target) => {
      const name = freshName();
      const workload_jwt = legacyToken(target, name);
      await using workload = await runFunction(target, source, { workload_jwt }, name);
      assert.equal(
        (await sendStop(target, workload, { workload_jwt })).error,
        "Invalid stop request: stop claims appear to be cloned or captured from the original start claims. Rejecting for security reasons",
      );
    },
    v8,
  );
  row(
    "1.6",
    "STOP 4: from another namespace there is no such workload (S5)",
    async (target) => {
      await using workload = await runFunction(target, source);
      for (const namespace of ["other", target.namespace.toUpperCase()]) {
        assert.equal((await sendStop(target, workload, {}, namespace)).error, "No such workload");
      }
      assert.equal(await call(target, triggerOf(target, workload.name)), "1");
    },
    { ...v8, ours: "in the second of the deploy it says something else" },
  );
  row(
    "1.6",
    "STOP of a workload by its issuer answers stopped, id, issuer and name, in the second of the deploy too",
    async (target) => {
      await using workload = await runFunction(target, source);
      const { data, error } = await sendStop(target, workload);
      assert.equal(error, undefined);
      const { id, name } = workload;
      assert.deepEqual(data, { stopped: true, id, issuer: target.issuer.publicKey, name });
      assert.equal((await sendStop(target, workload)).error, "No such workload");
      assert.ok((await info(target)).machines.every((machine) => machine.id !== id));
    },
    { ...v8, ours: "a stop in the second of the deploy is refused" },
  );
  row(
    "1.6",
    "STOP asks a service to end by SIGINT, and gives it time (B17)",
    async (target) => {
      await linesOf(target, async (shown) => {
        const workload = await runService(target, ["polite", "out", "up", "wait"]);
        await shown(/^up/m);
        await workload[Symbol.asyncDispose]();
        await shown(/^interrupted/m);
      });
    },
    { type: "native" },
  );
}

export function lameDuckRows(row: Row): void {
  row(
    "1.6",
    "LAMEDUCK: with any body the node takes no more deploys, and says so once; asked again it answers the same",
    async (target) => {
      await using running = await runFunction(target, source);
      const subject = lameDuckSubject(target.nodeId);
      let entered = 0;
      const events = target.connection.subscribe("$NEX.events.system.node_entered_lameduck", {
        callback: () => void entered++,
      });
      for (const body of ["", "{{{", "null"]) {
        const answer = await ask(target, subject, body);
        assert.equal(answer.type, "io.nats.nex.v1.lameduck_response");
        assert.deepEqual(answer.data, { node_id: target.nodeId, success: true });
      }
      const text = await refusal(target, {});
      assert.equal(text, "Node is in lame duck mode. Workload deploy request denied", "2: before all else");
      await target.connection.flush();
      assert.equal(entered, 1);
      events.unsubscribe();
      assert.equal((await ping(target)).tags?.["nex.lameduck"], "true");
      assert.equal(await call(target, triggerOf(target, running.name)), "1", "what runs goes on");
    },
    { ...v8, end: true },
  );
  row(
    "1.6",
    "LAMEDUCK: the node does not bid any more (B20)",
    async (target) => {
      assert.equal(await askQuietly(target, auctionSubject), undefined);
    },
    { end: true, ours: "it bids on" },
  );
}
