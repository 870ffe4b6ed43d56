/** §1.2 PING, §1.3 AUCTION, §1.4 WPING and §1.5 INFO. */
import assert from "node:assert/strict";
import { auctionSubject, infoSubject, workloadPingSubject } from "@nexengine/protocol/subjects";
import { askQuietly } from "../support/ask.ts";
import {
  call,
  freshName,
  heard,
  info,
  infoSchema,
  ping,
  pingSchema,
  runFunction,
  runService,
  triggerOf,
  uptimePattern,
  workloadPingSchema,
} from "./requests.ts";
import type { Row } from "./suite.ts";
import type { Target } from "./target.ts";

const source = "(s, p) => 1";

export function pingRows(row: Row): void {
  row("1.2", "PING has node_id, version, uptime, target_xkey, running_machines and tags", async (target) => {
    const answer = await ping(target);
    assert.ok(Object.keys(answer.tags ?? {}).length > 0);
  });
  row("1.2", "nexus is the name of the pool, or absent", async (target) => {
    const { nexus } = await ping(target);
    if (target.own !== undefined) assert.equal(nexus, "nexus");
  });
  row(
    "1.2",
    "uptime is whole seconds, the largest unit first and all smaller ones after it",
    async (target) => {
      assert.match((await ping(target)).uptime, uptimePattern);
    },
  );
  row(
    "1.2",
    "running_machines counts the workloads of every namespace",
    async (target) => {
      const before = (await ping(target)).running_machines;
      await using _one = await runFunction(target, source);
      await using _two = await runFunction({ ...target, namespace: `${target.namespace}-2` }, source);
      assert.equal((await ping(target)).running_machines, before + 2);
    },
    { type: "v8", ours: "with one machine in its pool a second deploy may meet an empty one" },
  );
}

/** Does the node bid? */
const bids = async (target: Target, request: unknown): Promise<boolean> =>
  (await askQuietly(
    target,
    auctionSubject,
    typeof request === "string" ? request : JSON.stringify(request),
  )) !== undefined;

export function auctionRows(row: Row): void {
  row("1.3", "a bid has the members of a PING", async (target) => {
    const bid = pingSchema.parse((await askQuietly(target, auctionSubject))?.data);
    assert.equal(bid.node_id, target.nodeId);
    assert.deepEqual(bid.tags, (await ping(target)).tags);
  });
  for (const [what, member, tag] of [
    ["architecture", "arch", "nex.arch"],
    ["operating system", "os", "nex.os"],
  ] as const) {
    row("1.3", `another ${what} is met with silence, its own in any case with a bid`, async (target) => {
      const own = (await ping(target)).tags?.[tag] ?? "";
      assert.equal(await bids(target, { [member]: own.toUpperCase() }), true);
      assert.equal(await bids(target, { [member]: "none" }), false);
    });
  }
  row("1.3", "sandboxed is met by a node that is as it says, true or false", async (target) => {
    const unsafe = (await ping(target)).tags?.["nex.unsafe"] === "true";
    assert.equal(await bids(target, { sandboxed: true }), !unsafe);
    assert.equal(await bids(target, { sandboxed: false }), unsafe);
  });
  row("1.3", "tags match by exact name and by value in any case", async (target) => {
    const [[name, value] = ["", ""]] = Object.entries((await ping(target)).tags ?? {}).filter(
      ([key, text]) => key !== key.toUpperCase() && text !== "",
    );
    assert.equal(await bids(target, { tags: { [name]: value.toUpperCase() } }), true);
    assert.equal(await bids(target, { tags: { [name.toUpperCase()]: value } }), false);
    assert.equal(await bids(target, { tags: { [name]: `${value}x` } }), false);
    assert.equal(await bids(target, { tags: { [name]: value, "none.such": "x" } }), false);
  });
  row("1.3", "the node's own tags can be asked for", async (target) => {
    const { tags = {} } = await ping(target);
    for (const name of ["node_name", "nex.os", "nex.cpucount"]) {
      assert.equal(await bids(target, { tags: { [name]: tags[name] } }), true, name);
    }
  });
  row("1.3", "each type of workload must be offered, in its exact case", async (target) => {
    assert.equal(await bids(target, { workload_types: target.types }), true);
    assert.equal(await bids(target, { workload_types: [...target.types, "zzz"] }), false);
    assert.equal(await bids(target, { workload_types: [target.types[0]?.toUpperCase()] }), false);
    assert.equal(await bids(target, { workload_types: [] }), true);
  });
  row("1.3", "an empty or unparsable body, and one without members, asks for nothing", async (target) => {
    for (const body of ["", "{{{", "[]", "1", '"x"', "{}", '{"os":{}}', '{"tags":null,"os":null}']) {
      assert.equal(await bids(target, body), true, body);
    }
  });
  row(
    "1.3",
    "null as body asks for nothing, and the node lives (W1)",
    async (target) => {
      assert.equal(await bids(target, "null"), true);
      assert.equal((await ping(target)).node_id, target.nodeId);
    },
    { ours: "it ends the node" },
  );
}

/** The names of the workloads that answer a WPING; `undefined` for silence. */
async function found(target: Target, subject: string): Promise<string[] | undefined> {
  const answer = await askQuietly(target, subject);
  if (answer === undefined) return undefined;
  return workloadPingSchema.parse(answer.data).running_machines.map(({ name }) => name);
}

export function workloadPingRows(row: Row): void {
  const needs = { type: "v8" } as const;
  row(
    "1.4",
    "WPING has node_id, target_xkey, version, tags, uptime and the workloads with id, namespace, name and type, and no nexus",
    async (target) => {
      await using workload = await runFunction(target, source);
      const answer = await askQuietly(target, workloadPingSubject(target.namespace, workload.name));
      const { running_machines, ...node } = workloadPingSchema.parse(answer?.data);
      const { id, name, namespace } = workload;
      assert.deepEqual(running_machines, [{ id, namespace, name, type: "v8" }]);
      assert.equal(node.node_id, target.nodeId);
      assert.match(node.uptime, uptimePattern);
      assert.equal(Object.hasOwn(node, "nexus"), false);
    },
    needs,
  );
  row(
    "1.4",
    "the namespace matches in any case, the fourth token a name in any case or an id exactly",
    async (target) => {
      await using workload = await runFunction(target, source);
      const { namespace, name, id } = workload;
      assert.deepEqual(
        await found(target, workloadPingSubject(namespace.toUpperCase(), name.toUpperCase())),
        [name],
      );
      assert.deepEqual(await found(target, workloadPingSubject(namespace, id)), [name]);
      assert.equal(await found(target, workloadPingSubject(namespace, id.toUpperCase())), undefined);
    },
    needs,
  );
  row(
    "1.4",
    "without the fourth token every workload of the namespace answers; where none matches there is silence",
    async (target) => {
      assert.equal(await found(target, workloadPingSubject(target.namespace)), undefined);
      await using workload = await runFunction(target, source);
      assert.deepEqual(await found(target, workloadPingSubject(target.namespace)), [workload.name]);
      assert.equal(await found(target, workloadPingSubject(target.namespace, "none")), undefined);
      assert.equal(await found(target, workloadPingSubject("none-of-it", workload.name)), undefined);
    },
    needs,
  );
  row(
    "1.4",
    "a literal * is a token like any other, and matches nothing",
    async (target) => {
      await using _workload = await runFunction(target, source);
      assert.equal(await found(target, workloadPingSubject("*")), undefined);
    },
    needs,
  );
}

export function infoRows(row: Row): void {
  row(
    "1.5",
    "INFO has version, uptime, public_xkey, tags, machines and supported_workload_types",
    async (target) => {
      const answer = await info(target);
      assert.match(answer.uptime, uptimePattern);
      assert.deepEqual(answer.tags, (await ping(target)).tags);
      assert.deepEqual(answer.supported_workload_types, target.types);
    },
  );
  row("1.5", "memory is total, free and available in kB", async (target) => {
    const { memory, tags } = await info(target);
    if (tags?.["nex.os"] !== "linux") return;
    assert.ok(memory !== undefined && memory.total > memory.free && memory.total > memory.available);
  });
  row("1.5", "the body is not read", async (target) => {
    for (const body of ["", "{{{", "null", "[]", "1"]) await info(target, target.namespace, body);
  });
  row("1.5", "an unknown namespace has no machines, which is an empty list and no error", async (target) => {
    assert.deepEqual((await info(target, "never-used")).machines, []);
  });
  row("1.5", "nobody answers for an unknown node", async (target) => {
    const unknown = `N${"A".repeat(55)}`;
    await assert.rejects(
      target.connection.request(infoSubject("default", unknown), "", { timeout: 5_000 }),
      /no responders|503/i,
    );
  });
  row(
    "1.5",
    "a machine has id, healthy, uptime, namespace and its workload's name, description, runtime, type and hash",
    async (target) => {
      await using workload = await runFunction(target, source);
      const { machines } = await info(target, target.namespace.toUpperCase());
      const [machine] = infoSchema.shape.machines.parse(machines);
      const { id, name, namespace, sha256 } = workload;
      assert.equal(machines.length, 1, "the namespace matches in any case");
      assert.deepEqual(
        [machine?.id, machine?.healthy, machine?.namespace, machine?.workload.name],
        [id, true, namespace, name],
      );
      assert.match(machine?.uptime ?? "", uptimePattern);
      assert.equal(machine?.workload.description, "of the conformance suite");
      assert.deepEqual([machine?.workload.type, machine?.workload.hash], ["v8", sha256]);
    },
    { type: "v8" },
  );
  row(
    "1.5",
    "an empty description is left out",
    async (target) => {
      await using _workload = await runFunction(target, source, { description: "" });
      assert.equal(Object.hasOwn((await info(target)).machines[0]?.workload ?? {}, "description"), false);
    },
    { type: "v8" },
  );
  row(
    "1.5",
    "runtime of a function is the time that its calls ran, in ns or ms",
    async (target) => {
      await using workload = await runFunction(target, source);
      const runtime = async (): Promise<string> =>
        (await info(target)).machines.find(({ id }) => id === workload.id)?.workload.runtime ?? "";
      assert.equal(await runtime(), "0ns");
      await heard(target, `$NEX.events.${target.namespace}.function_exec_succeeded`, () =>
        call(target, triggerOf(target, workload.name)),
      );
      assert.match(await runtime(), /^\d+(ns|ms)$/);
      assert.notEqual(await runtime(), "0ns");
    },
    { type: "v8" },
  );
  row(
    "1.5",
    "runtime of a service is its uptime",
    async (target) => {
      await using workload = await runService(target, ["wait"], { description: freshName() });
      const machine = (await info(target)).machines.find(({ id }) => id === workload.id);
      assert.match(machine?.workload.runtime ?? "", uptimePattern);
      assert.equal(machine?.workload.type, "native");
    },
    { type: "native" },
  );
}
