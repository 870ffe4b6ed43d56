import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import {
  actMs,
  both,
  eventually,
  type LabMachine,
  places,
  prepareContainerLab,
  target,
} from "@nexengine/testing/internal";
import type { MachineRecord } from "../driver.ts";
import { readCgroupMounts } from "../host/cgroup-mounts.ts";

const { allowed } = places;
const { lab, unmetRequirement: unmet, settings } = await prepareContainerLab();

/** Lists machine resources on the lab's host: devices, tables, id ranges, runtime state and cgroups. */
async function orphans(): Promise<string[]> {
  const { stateDirectory, cgroupParent } = settings;
  const links = await lab.network.onHost("ip", "-br", "link", "show", "type", "veth");
  const tables = await lab.network.onHost("nft", "list", "tables");
  const ranges = await readdir(join(stateDirectory, "ranges")).catch(() => []);
  const states = await readdir(join(stateDirectory, "runtime")).catch(() => []);
  const groups = readCgroupMounts().map(({ directory }) => join(directory, cgroupParent));
  return [
    ...`${links}\n${tables}`.split("\n").filter((line) => /^(nex|table)/.test(line)),
    ...[...ranges, ...states].map((name) => `state ${name}`),
    ...groups.filter((path) => existsSync(path)),
  ];
}

const withoutFacts = ({ id, directory }: { id: string; directory: string }): MachineRecord => ({
  driver: "container",
  id,
  directory,
  facts: {},
});

async function assertReaches(machine: Pick<LabMachine, "ask">): Promise<void> {
  for (const outcome of await lab.reach(machine, both(allowed))) assert.match(outcome, / sees /);
}

suite("host resources of a machine with egress", { skip: unmet ?? false }, () => {
  lab.use();

  test("are removed by destroy, and those of another machine are kept", async () => {
    assert.deepEqual(await orphans(), []);
    const first = await lab.boot([target(allowed)]);
    const second = await lab.boot([target(allowed)]);
    assert.notEqual(first.address, second.address);
    assert.ok(await lab.network.forwards(), "It was off before, and is needed");
    assert.equal((await orphans()).filter((line) => line.startsWith("nex")).length, 2);
    await lab.node.tell("destroy", first.spec.id);
    await assertReaches(second);
    await lab.node.tell("destroy", second.spec.id);
    assert.deepEqual(await orphans(), []);
  });

  test("are removed if a boot fails halfway", async () => {
    await lab.withTools({ nsenter: "echo no >&2; exit 1" }, async (node) => {
      const refusal = await node.refusal("boot", await lab.network.order([target(allowed)]));
      assert.match(refusal, /^boot_failed: Cannot boot machine "\w+": .* can't be set: nft says "no"/);
      assert.deepEqual(await orphans(), []);
    });
  });

  test("survive kill -9 of the node and a flushed filter, and are removed by the next node", async () => {
    const previous = lab.network.node();
    const { spec, record, address } = await lab.boot([target(allowed)], {}, previous);
    await previous.kill();
    await lab.network.onHost("nft", "flush", "ruleset");
    assert.ok(await lab.node.tell("recover", record, 2));
    const ask = async (command: string): Promise<unknown> =>
      JSON.parse(await lab.node.tell("ask", spec.id, command));
    await assertReaches({ ask });
    assert.match(await lab.network.onHost("nft", "list", "ruleset"), new RegExp(address));
    await lab.node.tell("destroy", spec.id);
    assert.deepEqual(await orphans(), []);
  });

  test("are removed when the next node recovers a machine without recorded facts", async () => {
    const previous = lab.network.node();
    const { spec } = await lab.boot([target(allowed)], {}, previous);
    await previous.kill();
    assert.equal(await lab.node.tell("recover", withoutFacts(spec), 2), false);
    assert.deepEqual(await orphans(), []);
  });

  test("are removed when the next node recovers a half-finished boot", async () => {
    const spec = await lab.network.order([target(allowed)]);
    // The node keeps setting up the machine's network while it is alive.
    await lab.withTools({ nsenter: "while kill -0 $PPID; do sleep 0.02; done" }, async (previous) => {
      const booting = previous.tell("boot", spec).catch(() => undefined);
      const listed = async (): Promise<boolean> =>
        (await orphans()).some((line) => line.startsWith("table")) && existsSync(spec.directory);
      await eventually(listed, actMs, "the machine is in the host's filter");
      await previous.kill();
      await booting;
    });
    assert.notDeepEqual(await orphans(), []);
    assert.equal(await lab.node.tell("recover", withoutFacts(spec), 1), false);
    assert.deepEqual(await orphans(), []);
  });

  test("are removed by the next boot if the machine exited without a node", async () => {
    const previous = lab.network.node();
    const { spec } = await lab.boot([target(allowed)], { nodeLostTimeoutMs: 50 }, previous);
    await previous.kill();
    const gone = async (): Promise<boolean> => !(await orphans()).some((line) => line.startsWith("nex"));
    await eventually(gone, actMs, "the device has gone with its machine");
    assert.ok((await orphans()).some((line) => line.startsWith("table")));
    const next = lab.network.node();
    const plain = await lab.network.order(undefined, { network: "none" });
    await next.tell("boot", plain);
    assert.ok(!(await orphans()).some((line) => line.startsWith("table")));
    await next.tell("destroy", plain.id);
    await next.tell("recover", withoutFacts(spec), 2);
    assert.deepEqual(await orphans(), []);
    await next.kill();
  });

  test("are restored by the next boot if the host's filter was flushed", async () => {
    await lab.with([target(allowed)], async (first) => {
      await lab.network.onHost("nft", "flush", "ruleset");
      await lab.with([target(allowed)], async (second) => {
        await assertReaches(second);
        await assertReaches(first);
      });
    });
    assert.deepEqual(await orphans(), []);
  });

  test("are separate from other nodes' machines and from foreign tables (S11)", async () => {
    await lab.network.onHost("nft", "add", "table", "inet", "others");
    const { stateDirectory } = settings;
    const other = lab.network.node({ stateDirectory: `${stateDirectory}-2`, hostIdFirst: 4_000_000 });
    const theirs = await lab.boot([target(allowed)], {}, other);
    await lab.with([target(allowed), target(theirs.address)], async (ours) => {
      assert.equal((await orphans()).filter((line) => line.startsWith("table")).length, 3);
      await assertReaches(ours);
      await lab.assertUnreached(ours, both(theirs.address));
    });
    await assertReaches(theirs);
    await other.tell("destroy", theirs.spec.id);
    assert.deepEqual(await orphans(), ["table inet others"]);
    await lab.network.onHost("nft", "delete", "table", "inet", "others");
    await other.kill();
  });
});

suite("a host without the egress tools", { skip: unmet ?? false }, () => {
  lab.use();

  test("offers everything except egress, and says how to install the tools", async () => {
    const programs = ["runc", "mkfifo", "nsenter", "unshare", "ip"];
    await lab.withTools(
      {},
      async (node) => {
        const { available, networks, ...told } = await node.tell("fingerprint");
        assert.ok(available);
        assert.deepEqual(networks, ["none", "nats"]);
        const { details } = told as { details: Record<string, string> };
        assert.equal(details["loopback addresses"], "yes");
        assert.match(details["egress"] ?? "", /"nft" is not installed. Install it: apt-get install nftables/);
        const refusal = await node.refusal("boot", await lab.network.order([target(allowed)]));
        assert.match(
          refusal,
          /^network_not_offered: .*"nft" is not installed. Install it: apt-get install nft/,
        );
      },
      programs,
    );
    await lab.withTools(
      {},
      async (node) => {
        const order = await lab.network.order(undefined, {
          network: "nats",
          loopbackAddresses: ["10.0.0.1"],
        });
        const refusal = await node.refusal("boot", order);
        assert.match(
          refusal,
          /^network_not_offered: .*"ip" is not installed. Install it: apt-get install iproute2/,
        );
      },
      programs.slice(0, -1),
    );
  });

  test("offers egress if all tools are installed", async () => {
    const { networks, ...told } = await lab.node.tell("fingerprint");
    assert.deepEqual(networks, ["none", "nats", "egress"]);
    assert.equal((told as { details: Record<string, string> }).details["egress"], "yes");
  });

  test("reports a firewall that drops forwarded traffic", async () => {
    await lab.network.onHost("nft", "add", "table", "ip", "filter");
    const chain = "{ type filter hook forward priority 0; policy drop; }";
    await lab.network.onHost("nft", "add", "chain", "ip", "filter", "FORWARD", chain);
    const told = (await lab.node.tell("fingerprint")) as { details?: Record<string, string> };
    assert.match(told.details?.["egress"] ?? "", /^yes, but .*\(chain FORWARD of table ip filter\).*"nex\*"/);
  });
});
