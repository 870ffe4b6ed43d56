import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { eventually } from "../contract/expect.ts";
import { actMs } from "../contract/test-machine.ts";
import type { MachineRecord } from "../driver.ts";
import { readCgroupMounts } from "../host/cgroup-mounts.ts";
import { places } from "../network/lab.ts";
import { both, type LabMachine, target } from "../network/lab-fixture.ts";
import { prepareContainerLab } from "./egress-fixture.ts";

const { allowed } = places;
const { fixture, unmetRequirement: unmet, settings } = await prepareContainerLab();

/** What of machines is on the lab's host: devices, tables, ranges of ids, states of the runtime, control groups. */
async function remains(): Promise<string[]> {
  const { stateDirectory, cgroupParent } = settings;
  const links = await fixture.lab.onHost("ip", "-br", "link", "show", "type", "veth");
  const tables = await fixture.lab.onHost("nft", "list", "tables");
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
  for (const outcome of await fixture.reach(machine, both(allowed))) assert.match(outcome, / sees /);
}

suite("what a machine with egress has of its host", { skip: unmet ?? false }, () => {
  fixture.use();

  test("is gone after destroy, and that of another machine is not", async () => {
    assert.deepEqual(await remains(), []);
    const first = await fixture.boot([target(allowed)]);
    const second = await fixture.boot([target(allowed)]);
    assert.notEqual(first.address, second.address);
    assert.ok(await fixture.lab.forwards(), "It was off before, and is needed");
    assert.equal((await remains()).filter((line) => line.startsWith("nex")).length, 2);
    await fixture.node.tell("destroy", first.spec.id);
    await assertReaches(second);
    await fixture.node.tell("destroy", second.spec.id);
    assert.deepEqual(await remains(), []);
  });

  test("is gone when a boot fails in its middle", async () => {
    await fixture.withTools({ nsenter: "echo no >&2; exit 1" }, async (node) => {
      const refusal = await node.refusal("boot", await fixture.lab.order([target(allowed)]));
      assert.match(refusal, /^boot_failed: Cannot boot machine "\w+": .* can't be set: nft says "no"/);
      assert.deepEqual(await remains(), []);
    });
  });

  test("outlives kill -9 of the node and a cleared filter, and is gone when the next one has destroyed it", async () => {
    const previous = fixture.lab.node();
    const { spec, record, address } = await fixture.boot([target(allowed)], {}, previous);
    await previous.kill();
    await fixture.lab.onHost("nft", "flush", "ruleset");
    assert.ok(await fixture.node.tell("recover", record, 2));
    const ask = async (command: string): Promise<unknown> =>
      JSON.parse(await fixture.node.tell("ask", spec.id, command));
    await assertReaches({ ask });
    assert.match(await fixture.lab.onHost("nft", "list", "ruleset"), new RegExp(address));
    await fixture.node.tell("destroy", spec.id);
    assert.deepEqual(await remains(), []);
  });

  test("is gone when the next node recovers a machine of which nothing was written down", async () => {
    const previous = fixture.lab.node();
    const { spec } = await fixture.boot([target(allowed)], {}, previous);
    await previous.kill();
    assert.equal(await fixture.node.tell("recover", withoutFacts(spec), 2), false);
    assert.deepEqual(await remains(), []);
  });

  test("is gone when the next node recovers what another has left in the middle of a boot", async () => {
    const spec = await fixture.lab.order([target(allowed)]);
    // As long as that node lives, it sets up the machine's network.
    await fixture.withTools({ nsenter: "while kill -0 $PPID; do sleep 0.02; done" }, async (previous) => {
      const booting = previous.tell("boot", spec).catch(() => undefined);
      const listed = async (): Promise<boolean> =>
        (await remains()).some((line) => line.startsWith("table")) && existsSync(spec.directory);
      await eventually(listed, actMs, "the machine is in the host's filter");
      await previous.kill();
      await booting;
    });
    assert.notDeepEqual(await remains(), []);
    assert.equal(await fixture.node.tell("recover", withoutFacts(spec), 1), false);
    assert.deepEqual(await remains(), []);
  });

  test("is struck off by the next boot when the machine has ended without a node", async () => {
    const previous = fixture.lab.node();
    const { spec } = await fixture.boot([target(allowed)], { nodeLostTimeoutMs: 50 }, previous);
    await previous.kill();
    const gone = async (): Promise<boolean> => !(await remains()).some((line) => line.startsWith("nex"));
    await eventually(gone, actMs, "the device has gone with its machine");
    assert.ok((await remains()).some((line) => line.startsWith("table")));
    const next = fixture.lab.node();
    const plain = await fixture.lab.order(undefined, { network: "none" });
    await next.tell("boot", plain);
    assert.ok(!(await remains()).some((line) => line.startsWith("table")));
    await next.tell("destroy", plain.id);
    await next.tell("recover", withoutFacts(spec), 2);
    assert.deepEqual(await remains(), []);
    await next.kill();
  });

  test("comes back with the next boot when the host's filter was cleared", async () => {
    await fixture.with([target(allowed)], async (first) => {
      await fixture.lab.onHost("nft", "flush", "ruleset");
      await fixture.with([target(allowed)], async (second) => {
        await assertReaches(second);
        await assertReaches(first);
      });
    });
    assert.deepEqual(await remains(), []);
  });

  test("is apart from that of another node's machines, and of others' tables (S11)", async () => {
    await fixture.lab.onHost("nft", "add", "table", "inet", "others");
    const { stateDirectory } = settings;
    const other = fixture.lab.node({ stateDirectory: `${stateDirectory}-2`, hostIdFirst: 4_000_000 });
    const theirs = await fixture.boot([target(allowed)], {}, other);
    await fixture.with([target(allowed), target(theirs.address)], async (ours) => {
      assert.equal((await remains()).filter((line) => line.startsWith("table")).length, 3);
      await assertReaches(ours);
      await fixture.assertUnreached(ours, both(theirs.address));
    });
    await assertReaches(theirs);
    await other.tell("destroy", theirs.spec.id);
    assert.deepEqual(await remains(), ["table inet others"]);
    await fixture.lab.onHost("nft", "delete", "table", "inet", "others");
    await other.kill();
  });
});

suite("a host without the programs of egress", { skip: unmet ?? false }, () => {
  fixture.use();

  test("offers all but egress, and says how to get it", async () => {
    const programs = ["runc", "mkfifo", "nsenter", "unshare", "ip"];
    await fixture.withTools(
      {},
      async (node) => {
        const { available, networks, ...told } = await node.tell("fingerprint");
        assert.ok(available);
        assert.deepEqual(networks, ["none", "nats"]);
        const { details } = told as { details: Record<string, string> };
        assert.equal(details["loopback addresses"], "yes");
        assert.match(details["egress"] ?? "", /"nft" is not installed. Install it: apt-get install nftables/);
        const refusal = await node.refusal("boot", await fixture.lab.order([target(allowed)]));
        assert.match(
          refusal,
          /^network_not_offered: .*"nft" is not installed. Install it: apt-get install nft/,
        );
      },
      programs,
    );
    await fixture.withTools(
      {},
      async (node) => {
        const order = await fixture.lab.order(undefined, {
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

  test("offers egress where all is there", async () => {
    const { networks, ...told } = await fixture.node.tell("fingerprint");
    assert.deepEqual(networks, ["none", "nats", "egress"]);
    assert.equal((told as { details: Record<string, string> }).details["egress"], "yes");
  });

  test("hears of a firewall that drops what is passed on", async () => {
    await fixture.lab.onHost("nft", "add", "table", "ip", "filter");
    const chain = "{ type filter hook forward priority 0; policy drop; }";
    await fixture.lab.onHost("nft", "add", "chain", "ip", "filter", "FORWARD", chain);
    const told = (await fixture.node.tell("fingerprint")) as { details?: Record<string, string> };
    assert.match(told.details?.["egress"] ?? "", /^yes, but .*\(chain FORWARD of table ip filter\).*"nex\*"/);
  });
});
