/** §1.0 Vocabulary and identifiers. */
import assert from "node:assert/strict";
import { pingSubject, workloadPingSubject } from "@nexengine/protocol/subjects";
import { createKey, isPublicKey, signerOfSeed } from "@nexengine/protocol/tokens";
import { askQuietly } from "../support/ask.ts";
import {
  call,
  deployBody,
  freshName,
  heard,
  info,
  ping,
  pingSchema,
  runFunction,
  sendDeploy,
  sendStop,
  triggerOf,
  uploadSource,
  workloadPingSchema,
} from "./requests.ts";
import type { Row } from "./suite.ts";

const idPattern = /^[0-9a-v]{20}$/;

export function identifierRows(row: Row): void {
  row("1.0", "a node id is a public server nkey", async (target) => {
    const { node_id } = await ping(target);
    assert.equal(node_id, target.nodeId);
    assert.ok(isPublicKey(node_id, "N"));
    assert.equal(node_id.length, 56);
  });

  row("1.0", "a node's xkey is a public curve nkey, the same in PING and INFO", async (target) => {
    const { target_xkey } = await ping(target);
    assert.ok(isPublicKey(target_xkey, "X"));
    assert.equal((await info(target)).public_xkey, target_xkey);
  });

  row(
    "1.0",
    "any signing nkey is an issuer, not only an account's",
    async (target) => {
      const issuer = signerOfSeed(createKey("operator").seed);
      await using workload = await runFunction({ ...target, issuer }, "(s, p) => 1");
      assert.match(workload.id, idPattern);
      const refused = await sendStop(target, workload);
      assert.match(refused.error ?? "", /the only entity allowed to terminate a workload is the issuer/);
      assert.equal((await sendStop({ ...target, issuer }, workload)).error, undefined);
    },
    { type: "v8", ours: "the stop needs another second than the deploy" },
  );

  row(
    "1.0",
    "a workload has one id of 20 letters from 0 to v: in the answer, INFO, WPING, events and logs (B1)",
    async (target) => {
      const name = freshName();
      const ids: string[] = [];
      const deployed = heard(
        target,
        `$NEX.events.${target.namespace}.workload_deployed`,
        async () => {
          const logged = await heard(
            target,
            `$NEX.logs.${target.namespace}.${target.nodeId}.>`,
            async () => ids.push((await runFunction(target, "(s, p) => 1", {}, name)).id),
            ({ subject }) => subject.includes(`.${name}`),
          );
          ids.push(String(logged.body["id"]));
        },
        ({ body }) => (body["data"] as { workload_name: string }).workload_name === name,
      );
      ids.push(String((await deployed).body["source"]).split("-")[1] ?? "");
      const machine = (await info(target)).machines.find(({ workload }) => workload.name === name);
      ids.push(machine?.id ?? "");
      const found = await askQuietly(target, workloadPingSubject(target.namespace, name));
      ids.push(workloadPingSchema.parse(found?.data).running_machines[0]?.id ?? "");
      assert.match(ids[0] ?? "", idPattern);
      assert.deepEqual(ids, Array(5).fill(ids[0]));
      await sendStop(target, { id: ids[0] ?? "", name });
    },
    { type: "v8" },
  );

  row(
    "1.0",
    "a workload's name is the token's subject: letters, digits, _ and -",
    async (target) => {
      const location = await uploadSource(target, "(s, p) => 1");
      for (const name of ["bad.name", "bad name", "bäd", ""]) {
        const members = { trigger_subjects: [triggerOf(target, "any")] };
        const { error } = await sendDeploy(
          target,
          deployBody(target, { name, type: "v8", location }, members),
        );
        assert.ok(
          error?.startsWith(
            `Invalid deploy request: workload name claim ('${name}') does not match requirements`,
          ) ||
            (name === "" && error !== undefined),
          String(error),
        );
      }
      await using workload = await runFunction(target, "(s, p) => 1", {}, "Good_name-1");
      assert.equal(workload.name, "Good_name-1");
    },
    { type: "v8" },
  );

  row(
    "1.0",
    "a namespace exists by being used, and holds what was deployed into it alone",
    async (target) => {
      await using workload = await runFunction(target, "(s, p) => 1");
      const idsIn = async (namespace: string): Promise<string[]> =>
        (await info(target, namespace)).machines.map(({ id }) => id);
      assert.deepEqual(await idsIn(target.namespace), [workload.id]);
      assert.deepEqual(await idsIn(`${target.namespace}-none`), []);
    },
    { type: "v8" },
  );

  row(
    "1.0",
    "the namespace of the nodes is nobody's to deploy into",
    async (target) => {
      const location = await uploadSource(target, "(s, p) => 1");
      const body = deployBody(target, { name: "x", type: "v8", location });
      assert.equal((await sendDeploy(target, body, "system")).nex?.code, "namespace_invalid");
    },
    { type: "v8", ours: "it takes any" },
  );

  row("1.0", "PING without an id is answered, whoever else answers too", async (target) => {
    const answer = await askQuietly(target, pingSubject);
    assert.equal(pingSchema.parse(answer?.data).node_id, target.nodeId);
  });

  row(
    "1.0",
    "a workload's type is one of native, v8, oci and wasm, and a node says which it offers",
    async (target) => {
      const { supported_workload_types = [] } = await info(target);
      assert.ok(supported_workload_types.length > 0);
      for (const type of supported_workload_types) assert.match(type, /^(native|v8|oci|wasm)$/);
    },
  );

  row(
    "1.0",
    "a deploy by the same name runs beside the first, under an id of its own",
    async (target) => {
      await using first = await runFunction(target, "(s, p) => 1");
      await using second = await runFunction(target, "(s, p) => 1", {}, first.name);
      assert.notEqual(second.id, first.id);
      assert.equal(await call(target, triggerOf(target, first.name)), "1");
    },
    { type: "v8", ours: "with one machine in its pool a second deploy may meet an empty one" },
  );
}
