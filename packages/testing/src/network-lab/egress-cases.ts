/** Egress tests for both kinds of microVM, in a network lab. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { suite, test } from "node:test";
import { linkName } from "@nexengine/machines/internal";
import { eventually } from "../drivers/contract/expect.ts";
import { actMs } from "../drivers/contract/test-machine.ts";
import type { Attempt } from "../drivers/guest/guest-network.ts";
import { type LabNode, places } from "./lab.ts";
import {
  both,
  inWorld,
  type LabMachine,
  otherPort,
  port,
  type SharedLab,
  target,
  tcp,
  udp,
} from "./shared-lab.ts";

const { host, allowed, other, metadata } = places;
const allowedName = { name: "allowed.example.com", address: allowed };
/** An address that a machine has only on its loopback device. */
const foreign = "203.0.113.99";

/** A kind of microVM in a lab. */
export interface EgressSubject {
  kind: "qemu" | "firecracker";
  lab: SharedLab;
  /** Options of a second node on the same host. */
  otherNode: object;
  /** Why the lab can't run on this host; `undefined` if it can. */
  unmetRequirement: string | undefined;
}

/** Tests share few machines because a boot takes seconds. Later tests use what earlier ones leave. */
export function egressCases(subject: EgressSubject): void {
  const { kind, lab, unmetRequirement: unmet } = subject;
  if (unmet !== undefined) console.log(`Egress of microVMs (${kind}) is not tested: ${unmet}`);
  suite(`${kind}: machines with egress`, { skip: unmet ?? false }, () => {
    lab.use();
    machineCases(subject);
  });
  suite(`${kind}: a host of machines with egress`, { skip: unmet ?? false }, () => {
    lab.use();
    hostCases(subject);
  });
}

function machineCases({ kind, lab, otherNode }: EgressSubject): void {
  const firstMachine = onDemand(() =>
    lab.boot([target(allowed)], { hosts: [allowedName], loopbackAddresses: [foreign] }),
  );
  const second = onDemand(async (): Promise<{ neighbour: LabMachine; node: LabNode }> => {
    const machine = await firstMachine();
    const node = lab.network.node(otherNode);
    const listed = [metadata, machine.address, hostEndOf(machine), host].map((address) => target(address));
    return { neighbour: await lab.boot([target("0.0.0.0", 0), ...listed], {}, node), node };
  });

  test("can't reach what only their host may reach", async () => {
    const attempts = [...inWorld, tcp(host), udp(host), tcp("127.0.0.1", otherPort)];
    for (const outcome of await lab.node.tell("reach", patient(attempts))) assert.match(outcome, / sees /);
  });

  test("reach listed targets by TCP and UDP, by address and name, with their host's source address", async () => {
    const attempts = patient([...both(allowed), ...both(allowedName.name)]);
    const seen = both(allowed).map(({ by }) => `${by}:${allowed}:${port} sees ${host}`);
    assert.deepEqual(await lab.reach(await firstMachine(), attempts), [...seen, ...seen]);
  });

  test("see a refused connection at once, and reach nothing else", async () => {
    const machine = await firstMachine();
    const unlisted = inWorld.filter((attempt) => attempt.host !== allowed || attempt.port !== port);
    const local = [host, hostEndOf(machine)].flatMap((address) => both(address));
    const refused = [...unlisted, ...local].filter(({ by }) => by === "tcp");
    // More than a kernel with ICMP rate limits would report.
    const often = Array.from({ length: 10 }, () => refused).flat();
    const outcomes = await lab.reach(machine, patient(often));
    assert.deepEqual(new Set(outcomes), new Set(["EHOSTUNREACH"]));
    const itself = [...both("127.0.0.1"), tcp("127.0.0.1", otherPort), ...both("192.0.0.8")];
    await lab.assertUnreached(machine, [...unlisted, ...local, ...itself, ...both("255.255.255.255")]);
    assert.match(String(await machine.ask("resolve example.com")), /EAI_AGAIN|ENOTFOUND/);
  });

  test("have one device besides loopback, with their IPv4 address and no IPv6 address", async () => {
    const machine = await firstMachine();
    const shown = (await machine.ask("interfaces")) as Record<string, { address: string }[]>;
    assert.deepEqual(Object.keys(shown).sort(), ["eth0", "lo"]);
    assert.deepEqual(
      shown["eth0"]?.map(({ address }) => address),
      [machine.address],
    );
  });

  test("reach only public addresses through a wide target, and a metadata address if it is listed", async () => {
    const { neighbour } = await second();
    await assertReaches(lab, neighbour, [...both(allowed), ...both(other), ...both(metadata)]);
    await lab.assertUnreached(neighbour, both(places.private));
  });

  test("reach neither other machines nor their host, even if they are listed", async () => {
    const machine = await firstMachine();
    const { neighbour } = await second();
    assert.equal(await machine.ask(`serve ${port}`), "serving");
    const listed = [machine.address, hostEndOf(machine), host];
    await lab.assertUnreached(
      neighbour,
      listed.flatMap((address) => both(address)),
    );
  });

  test("can't spoof a source address, even if only the host filters", async () => {
    const machine = await firstMachine();
    const { neighbour } = await second();
    const spoofed = [{ ...udp(allowed), from: foreign }];
    await lab.assertUnreached(machine, spoofed);
    await lab.network.inside(machine.record, "nft", "flush", "ruleset");
    await lab.assertUnreached(machine, [...spoofed, ...both(host), ...both(neighbour.address)]);
    await assertReaches(lab, machine, [udp(other)]);
  });

  test("leave nothing when their monitor is killed", async () => {
    const machine = await firstMachine();
    await second();
    process.kill(Number(machine.record.facts["pid"]), "SIGKILL");
    const name = linkName(machine.spec.id);
    const gone = async (): Promise<boolean> =>
      !(await networkOrphans(lab)).some((line) => line.startsWith(name));
    await eventually(gone, actMs, "the device has gone with its monitor");
    await lab.node.tell("destroy", machine.spec.id);
    assert.equal(existsSync(machine.spec.directory), false);
    assert.equal((await networkOrphans(lab)).length, 2, "The neighbour has a device and a table");
  });

  test("survive kill -9 of their node and a flushed filter, and leave nothing after the next node destroys them", async () => {
    const { neighbour, node } = await second();
    await node.kill();
    await lab.network.onHost("nft", "flush", "ruleset");
    const next = lab.network.node(otherNode);
    assert.ok(await next.tell("recover", neighbour.record, 2));
    const { id } = neighbour.spec;
    const ask = async (command: string): Promise<unknown> => JSON.parse(await next.tell("ask", id, command));
    await assertReaches(lab, { ask }, both(allowed));
    assert.match(await lab.network.onHost("nft", "list", "ruleset"), new RegExp(neighbour.address));
    await next.tell("destroy", id);
    assert.deepEqual(await networkOrphans(lab), []);
    await next.kill();
  });

  test("leave nothing after the next node recovers one without recorded facts", async () => {
    const previous = lab.network.node();
    const { spec } = await lab.boot([target(allowed)], {}, previous);
    await previous.kill();
    assert.notDeepEqual(await networkOrphans(lab), []);
    const { id, directory } = spec;
    assert.equal(await lab.node.tell("recover", { driver: kind, id, directory, facts: {} }, 2), false);
    assert.deepEqual(await networkOrphans(lab), []);
  });

  test("without egress have no network device", async () => {
    const spec = await lab.network.order(undefined, { network: "nats" });
    await lab.node.tell("boot", spec);
    const devices = JSON.parse(await lab.node.tell("ask", spec.id, "read /proc/net/dev")) as string;
    assert.deepEqual(devices.match(/^ *\w+(?=:)/gm), ["    lo"]);
    await lab.node.tell("destroy", spec.id);
  });
}

function hostCases({ kind, lab }: EgressSubject): void {
  test("is refused for IPv6 targets and for an empty list", async () => {
    const far = await lab.network.order([{ address: "2001:db8::1", prefixBits: 128, port }]);
    const refusal = await lab.node.refusal("boot", far);
    assert.match(
      refusal,
      /^network_not_offered: .*"2001:db8::1" is an IPv6 address, but egress supports only IPv4/,
    );
    const none = await lab.node.refusal("boot", await lab.network.order([]));
    assert.match(none, /^boot_failed: .*no target is listed/);
  });

  test("refuses a machine whose device already exists, and keeps that device", async () => {
    const spec = await lab.network.order([target(allowed)]);
    const name = linkName(spec.id);
    await lab.network.onHost("ip", "tuntap", "add", "dev", name, "mode", "tap");
    const refusal = await lab.node.refusal("boot", spec);
    assert.match(refusal, new RegExp(`^boot_failed: .*"${name}" already exists. .*ip link delete ${name}`));
    assert.equal(existsSync(spec.directory), false);
    await lab.network.onHost("ip", "link", "delete", name);
  });

  test("keeps nothing of a boot that fails halfway", async () => {
    await lab.withTools({ nsenter: "echo no >&2; exit 1" }, async (node) => {
      const refusal = await node.refusal("boot", await lab.network.order([target(allowed)]));
      assert.match(refusal, /^boot_failed: Cannot boot machine "\w+": the rules of its .* nft says "no"/);
      assert.deepEqual(await networkOrphans(lab), []);
    });
  });

  test("keeps nothing of a boot whose node was killed halfway", async () => {
    const spec = await lab.network.order([target(allowed)]);
    // The node keeps setting up the machine's network while it is alive.
    const waiting = { nsenter: "while kill -0 $PPID; do sleep 0.02; done" };
    await lab.withTools(waiting, async (previous) => {
      const booting = previous.tell("boot", spec).catch(() => undefined);
      const listed = async (): Promise<boolean> => (await networkOrphans(lab)).length === 2;
      await eventually(listed, actMs, "the machine has a device, and is in the host's filter");
      await previous.kill();
      await booting;
    });
    const gone = async (): Promise<boolean> => (await networkOrphans(lab)).length === 1;
    await eventually(gone, actMs, "the device has gone with its network");
    const { id, directory } = spec;
    assert.equal(await lab.node.tell("recover", { driver: kind, id, directory, facts: {} }, 1), false);
    assert.deepEqual(await networkOrphans(lab), []);
  });

  test("refuses egress without its tools, and says how to install them", async () => {
    const refused = async (node: LabNode): Promise<void> => {
      const refusal = await node.refusal("boot", await lab.network.order([target(allowed)]));
      assert.match(
        refusal,
        /^network_not_offered: .*"nft" is not installed. Install it: apt-get install nft/,
      );
    };
    await lab.withTools({}, refused, ["ip", "nsenter", "unshare"]);
  });

  test("offers egress if all tools are installed", async () => {
    const { networks, ...told } = await lab.node.tell("fingerprint");
    assert.deepEqual(networks, ["none", "nats", "egress"]);
    assert.equal((told as { details: Record<string, string> }).details["egress"], "yes");
  });
}

function onDemand<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** An emulated guest may need more time for attempts that succeed or are refused. */
function patient(attempts: Attempt[]): Attempt[] {
  return attempts.map((attempt) => ({ ...attempt, silenceMs: actMs / 2 }));
}

async function assertReaches(
  lab: SharedLab,
  machine: Pick<LabMachine, "ask">,
  attempts: Attempt[],
): Promise<void> {
  for (const outcome of await lab.reach(machine, patient(attempts))) assert.match(outcome, / sees /);
}

/** Lists machine resources on the lab's host. */
async function networkOrphans({ network }: SharedLab): Promise<string[]> {
  const links = await network.onHost("ip", "-br", "link", "show", "type", "veth");
  const tables = await network.onHost("nft", "list", "tables");
  return `${links}\n${tables}`.split("\n").filter((line) => /^(nex|table)/.test(line));
}

function hostEndOf({ address }: LabMachine): string {
  return address.replace(/\d+$/, (last) => String(Number(last) - 1));
}
