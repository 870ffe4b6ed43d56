import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { eventually } from "../contract/expect.ts";
import type { Attempt } from "../contract/guest-network.ts";
import { actMs } from "../contract/test-machine.ts";
import { Egress } from "../network/egress.ts";
import { type LabNode, places } from "../network/lab.ts";
import {
  both,
  inWorld,
  LabFixture,
  type LabMachine,
  otherPort,
  port,
  target,
  tcp,
  udp,
} from "../network/lab-fixture.ts";
import { linkName } from "../network/link.ts";
import { prepareQemu } from "./contract-driver.ts";
import { completeOptions } from "./options.ts";

const { host, allowed, other, metadata } = places;
const foreign = "203.0.113.99";
const bootTimeoutMs = 180_000;
const microVms = await prepareQemu();
after(() => microVms[Symbol.asyncDispose]());
const { egressNetwork, stateDirectory } = completeOptions(microVms.options);
const lack = microVms.lack ?? (await new Egress(egressNetwork, stateDirectory, "tap").lack())?.reason;
if (lack !== undefined) console.log(`Egress of microVMs is not tested: ${lack}`);
const module = new URL("./contract-driver.ts", import.meta.url);
const fixture = new LabFixture({ kind: "qemu", module, bootTimeoutMs });

/** An emulated guest may take its time for what succeeds, or is refused. */
const patient = (attempts: Attempt[]): Attempt[] =>
  attempts.map((attempt) => ({ ...attempt, silenceMs: actMs / 2 }));

/** What of machines is on the lab's host. */
async function remains(): Promise<string[]> {
  const links = await fixture.lab.onHost("ip", "-br", "link", "show", "type", "veth");
  const tables = await fixture.lab.onHost("nft", "list", "tables");
  return `${links}\n${tables}`.split("\n").filter((line) => /^(nex|table)/.test(line));
}

const hostEndOf = ({ address }: LabMachine): string =>
  address.replace(/\d+$/, (last) => String(Number(last) - 1));

async function assertReaches(machine: Pick<LabMachine, "ask">, attempts: Attempt[]): Promise<void> {
  const outcomes = await fixture.reach(machine, patient(attempts));
  for (const outcome of outcomes) assert.match(outcome, / sees /);
}

/** Few machines are booted, since each takes seconds: what is tried later finds what is left of the former. */
suite("microVMs with egress", { skip: lack ?? false }, () => {
  fixture.use();
  let machine: LabMachine;
  let neighbour: LabMachine;
  let neighbourNode: LabNode;
  const neighbourOptions = { stateDirectory: `${stateDirectory}-2` };

  before(async () => {
    const hosts = [{ name: "allowed.example.com", address: allowed }];
    machine = await fixture.boot([target(allowed)], { hosts, loopbackAddresses: [foreign] });
    neighbourNode = fixture.lab.node(neighbourOptions);
    const listed = [metadata, machine.address, hostEndOf(machine), host].map((address) => target(address));
    neighbour = await fixture.boot([target("0.0.0.0", 0), ...listed], {}, neighbourNode);
  });

  test("reach what is listed by TCP and UDP, by address and by name, and are seen as their host", async () => {
    const attempts = patient([...both(allowed), ...both("allowed.example.com")]);
    const seen = both(allowed).map(({ by }) => `${by}:${allowed}:${port} sees ${host}`);
    assert.deepEqual(await fixture.reach(machine, attempts), [...seen, ...seen]);
  });

  test("hear at once of a refused connection, and reach nothing else", async () => {
    const unlisted = inWorld.filter((attempt) => attempt.host !== allowed || attempt.port !== port);
    const local = [host, hostEndOf(machine), neighbour.address].flatMap((address) => both(address));
    const refused = [...unlisted, ...local].filter(({ by }) => by === "tcp");
    // As many as a kernel would not tell of that bounds how often it says so.
    const often = Array.from({ length: 10 }, () => refused).flat();
    const outcomes = await fixture.reach(machine, patient(often));
    assert.deepEqual(new Set(outcomes), new Set(["EHOSTUNREACH"]));
    const itself = [...both("127.0.0.1"), tcp("127.0.0.1", otherPort), ...both("192.0.0.8")];
    await fixture.assertUnreached(machine, [...unlisted, ...local, ...itself, ...both("255.255.255.255")]);
    assert.match(String(await machine.ask("resolve example.com")), /EAI_AGAIN|ENOTFOUND/);
  });

  test("have one device beside loopback, with their address and none of IPv6", async () => {
    const shown = (await machine.ask("interfaces")) as Record<string, { address: string }[]>;
    assert.deepEqual(
      shown["eth0"]?.map(({ address }) => address),
      [machine.address],
    );
    assert.deepEqual(Object.keys(shown).sort(), ["eth0", "lo"]);
  });

  test("reach by a wide target what is no private address, and a metadata address that is listed", async () => {
    await assertReaches(neighbour, [...both(allowed), ...both(other), ...both(metadata)]);
    await fixture.assertUnreached(neighbour, both(places.private));
  });

  test("come to no other machine and not to their host, even where these are listed", async () => {
    assert.equal(await machine.ask(`serve ${port}`), "serving");
    const listed = [machine.address, hostEndOf(machine), host];
    await fixture.assertUnreached(
      neighbour,
      listed.flatMap((address) => both(address)),
    );
  });

  test("can't send from an address that is not their own, also where only the host keeps them", async () => {
    const spoofed = [{ ...udp(allowed), from: foreign }];
    await fixture.assertUnreached(machine, spoofed);
    await fixture.lab.inside(machine.record, "nft", "flush", "ruleset");
    await fixture.assertUnreached(machine, [...spoofed, ...both(host), ...both(neighbour.address)]);
    await assertReaches(machine, [udp(other)]);
  });

  test("leave nothing when their monitor is killed", async () => {
    process.kill(Number(machine.record.facts["pid"]), "SIGKILL");
    const name = linkName(machine.spec.id);
    const gone = async (): Promise<boolean> => !(await remains()).some((line) => line.startsWith(name));
    await eventually(gone, actMs, "the device has gone with its monitor");
    await fixture.node.tell("destroy", machine.spec.id);
    assert.equal(existsSync(machine.spec.directory), false);
    assert.equal((await remains()).length, 2, "The neighbour has a device and a table");
  });

  test("outlive kill -9 of their node and a cleared filter, and leave nothing when the next one destroys them", async () => {
    await neighbourNode.kill();
    await fixture.lab.onHost("nft", "flush", "ruleset");
    const next = fixture.lab.node(neighbourOptions);
    assert.ok(await next.tell("recover", neighbour.record, 2));
    const { id } = neighbour.spec;
    const ask = async (command: string): Promise<unknown> => JSON.parse(await next.tell("ask", id, command));
    await assertReaches({ ask }, both(allowed));
    assert.match(await fixture.lab.onHost("nft", "list", "ruleset"), new RegExp(neighbour.address));
    await next.tell("destroy", id);
    assert.deepEqual(await remains(), []);
    await next.kill();
  });

  test("leave nothing when the next node recovers one of which nothing was written down", async () => {
    const former = fixture.lab.node();
    const { spec } = await fixture.boot([target(allowed)], {}, former);
    await former.kill();
    assert.notDeepEqual(await remains(), []);
    const { id, directory } = spec;
    const record = { driver: "qemu", id, directory, facts: {} } as const;
    assert.equal(await fixture.node.tell("recover", record, 2), false);
    assert.deepEqual(await remains(), []);
  });

  test("leave nothing when the boot fails in its middle", async () => {
    await fixture.withTools({ nsenter: "echo no >&2; exit 1" }, async (node) => {
      const refusal = await node.refusal("boot", await fixture.lab.order([target(allowed)]));
      assert.match(refusal, /^boot_failed: Cannot boot machine "\w+": its .* can't be set: "no"/);
      assert.deepEqual(await remains(), []);
    });
  });

  test("without egress have no network device", async () => {
    const spec = await fixture.lab.order(undefined, { network: "nats" });
    await fixture.node.tell("boot", spec);
    const devices = JSON.parse(await fixture.node.tell("ask", spec.id, "read /proc/net/dev")) as string;
    assert.deepEqual(devices.match(/^ *\w+(?=:)/gm), ["    lo"]);
    await fixture.node.tell("destroy", spec.id);
  });
});

suite("a host of microVMs with egress", { skip: lack ?? false }, () => {
  fixture.use();

  test("refuses targets of IPv6, and a list of none", async () => {
    const far = await fixture.lab.order([{ address: "2001:db8::1", prefixBits: 128, port }]);
    const refusal = await fixture.node.refusal("boot", far);
    assert.match(refusal, /^network_not_offered: .*"2001:db8::1" is of IPv6, and only IPv4 is carried/);
    assert.match(
      await fixture.node.refusal("boot", await fixture.lab.order([])),
      /^boot_failed: .*no target is listed/,
    );
  });

  test("refuses a machine whose device is there already, and leaves that device", async () => {
    const spec = await fixture.lab.order([target(allowed)]);
    const name = linkName(spec.id);
    await fixture.lab.onHost("ip", "tuntap", "add", "dev", name, "mode", "tap");
    const refusal = await fixture.node.refusal("boot", spec);
    assert.match(refusal, new RegExp(`^boot_failed: .*"${name}" is there already. .*ip link delete ${name}`));
    assert.equal(existsSync(spec.directory), false);
    await fixture.lab.onHost("ip", "link", "delete", name);
  });

  test("without the programs of egress refuses it, and says how to get it", async () => {
    const programs = ["ip", "nsenter", "unshare", "qemu-system-x86_64"];
    await fixture.withTools(
      {},
      async (node) => {
        const refusal = await node.refusal("boot", await fixture.lab.order([target(allowed)]));
        assert.match(
          refusal,
          /^network_not_offered: .*"nft" is not installed. Install it: apt-get install nft/,
        );
      },
      programs,
    );
  });

  test("offers egress where all is there", async () => {
    const { networks, ...told } = await fixture.node.tell("fingerprint");
    assert.deepEqual(networks, ["none", "nats", "egress"]);
    assert.equal((told as { details: Record<string, string> }).details["egress"], "yes");
  });
});
