/** §1.11 Configuration and autostart, and what of §1.6 takes a configuration. Nodes of these rows are started here. */
import assert from "node:assert/strict";
import type { NexNode } from "@nexengine/node";
import { auctionSubject } from "@nexengine/protocol/subjects";
import { createKey, signerOfSeed } from "@nexengine/protocol/tokens";
import { startTestNode } from "@nexengine/testing";
import { askQuietly } from "../support/ask.ts";
import {
  call,
  deployBody,
  freshName,
  info,
  ping,
  runFunction,
  sendDeploy,
  triggerOf,
  uploadSource,
} from "./requests.ts";
import type { Row } from "./suite.ts";
import type { Target } from "./target.ts";

const source = "(s, p) => 1";
const startedName = "Started";
const own = { own: true } as const;

/** The node of these rows: what its configuration shuts, and what it starts by itself. */
class Configured {
  #node: Promise<NexNode> | undefined;

  /** The target for a request to this node instead of the suite's. */
  async target(of: Target): Promise<Target> {
    this.#node ??= this.#start(of);
    const node = await this.#node;
    const there = { ...of, nodeId: node.id, namespace: "configured", types: ["v8"] };
    return { ...there, xkey: (await info(there)).public_xkey };
  }

  async #start(target: Target): Promise<NexNode> {
    const location = await uploadSource(target, '(s, p) => "started"', startedName);
    const entry = {
      name: startedName,
      namespace: "configured",
      type: "v8",
      location: `nats://${location.Host}${location.Path}`,
      trigger_subjects: [startedName],
    };
    return target.use(
      await startTestNode({
        server: target.own?.server.url ?? "",
        nexus: "named",
        config: {
          tags: { node_name: "of-two words", zone: "b", "nex.os": "none" },
          workload_types: ["v8"],
          valid_issuers: [target.issuer.publicKey],
          deny_trigger_subjects: ["secret.>"],
          node_limits: { max_workloads: 2, max_workload_bytes: 150, max_total_bytes: 200 },
          autostart: {
            workloads: [
              { ...entry, name: "gone", location: "nats://NONE/none" },
              { ...entry, name: "not a name" },
            ],
          },
        },
      }),
    );
  }
}

/** The text of a refusal; `undefined` where the deploy was accepted. */
async function refusal(target: Target, code: string, members: object = {}): Promise<string | undefined> {
  const location = await uploadSource(target, code);
  const spec = { name: freshName(), type: "v8", location } as const;
  return (await sendDeploy(target, deployBody(target, spec, members))).error;
}

export function configurationRows(row: Row): void {
  const configured = new Configured();
  const add = (section: string, demand: string, check: (target: Target) => Promise<void>): void =>
    row(section, demand, async (target) => check(await configured.target(target)), own);

  add(
    "1.11",
    "tags are those of the configuration and the node's own, which nobody changes",
    async (target) => {
      const { tags = {}, nexus } = await ping(target);
      assert.deepEqual([tags["node_name"], tags["zone"], nexus], ["of-two words", "b", "named"]);
      assert.equal(tags["nex.os"], process.platform);
      assert.match(tags["nex.arch"] ?? "", /^(amd64|arm64)$/);
      assert.match(tags["nex.cpucount"] ?? "", /^[1-9]\d*$/);
      assert.equal(tags["nex.unsafe"], "true");
    },
  );
  add("1.11", "workload_types are what the node offers", async (target) => {
    assert.deepEqual((await info(target)).supported_workload_types, ["v8"]);
    assert.equal(
      (await sendDeploy(target, { type: "native" })).error,
      "Unsupported workload type on this node: native",
    );
  });
  add("1.6", "10: valid_issuers, where there are any, are the only ones", async (target) => {
    const issuer = signerOfSeed(createKey("account").seed);
    assert.equal(
      await refusal({ ...target, issuer }, source),
      `invalid workload issuer: ${issuer.publicKey}`,
    );
  });
  add("1.6", "13: max_workload_bytes refuses a larger artifact", async (target) => {
    const text = await refusal(target, `${source} // ${"x".repeat(150)}`);
    assert.match(text ?? "", /^Workload file size would exceed node limitations/);
  });
  add(
    "1.6",
    "13: max_total_bytes refuses what is too much together, and 3: max_workloads what is too many",
    async (target) => {
      const large = `${source} // ${"x".repeat(120)}`;
      await using _first = await runFunction(target, large);
      const text = await refusal(target, large);
      assert.match(text ?? "", /^Workload file size would exceed node total limitations/);
      await using _second = await runFunction(target, source);
      assert.equal(await refusal(target, source), "Node is at maximum workload limit. Deploy request denied");
      assert.equal(await askQuietly(target, auctionSubject), undefined, "nor does it bid");
    },
  );
  add("1.11", "deny_trigger_subjects are denied beside the built-in ones", async (target) => {
    for (const subject of ["secret.a", "*.a", "$SYS.x"]) {
      const text = await refusal(target, source, { trigger_subjects: [subject] });
      assert.match(text ?? "", /^The trigger subject .* overlaps with /);
    }
  });
  add("1.11", "autostart: entries that fail are passed over, and the node goes on", async (target) => {
    const name = freshName();
    await using _workload = await runFunction(target, source, {}, name);
    assert.equal(await call(target, triggerOf(target, name)), "1");
  });

  row(
    "1.11",
    "autostart starts what is listed, by name, namespace, type, a location as text and trigger_subjects alone (W6)",
    async (target) => {
      const name = freshName();
      await uploadSource(target, '(s, p) => "started"', name);
      const entry = { name, namespace: "auto", type: "v8", location: `nats://NEXCLIFILES/${name}` };
      const config = { autostart: { workloads: [{ ...entry, trigger_subjects: [`auto.${name}`] }] } };
      await using node = await startTestNode({ server: target.own?.server.url ?? "", config });
      const there = { ...target, nodeId: node.id };
      let names: string[] = [];
      while (names.length === 0) {
        const { machines } = await info(there, "auto");
        names = machines.map(({ workload }) => workload.name);
      }
      assert.deepEqual(names, [name]);
      assert.equal(await call(target, `auto.${name}`), '"started"');
      assert.equal((await ping(there)).running_machines, 1);
    },
    own,
  );
}
