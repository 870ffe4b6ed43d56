import assert from "node:assert/strict";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import type { EgressTarget, MachineRecord, MachineSpec } from "@nexengine/machines/internal";
import { findProgram } from "@nexengine/machines/internal";
import type { Attempt } from "../drivers/guest/guest-network.ts";
import { type LabDriver, type LabNode, NetworkLab, places } from "./lab.ts";

/** The port that tests list as a target, and one that they don't. */
export const port = 7_001;
export const otherPort = 7_002;

const refused = /^(EHOSTUNREACH|ECONNREFUSED|EPERM|EACCES|ENETUNREACH|ABORT_ERR)$/;

export const target = (address: string, prefixBits = 32): EgressTarget => ({ address, prefixBits, port });
export const tcp = (host: string, at = port): Attempt => ({ by: "tcp", host, port: at });
export const udp = (host: string, at = port): Attempt => ({ by: "udp", host, port: at });
export const both = (host: string, at = port): Attempt[] => [tcp(host, at), udp(host, at)];

/** All listeners in the world namespace. */
export const inWorld: Attempt[] = [
  ...[places.allowed, places.other, places.private, places.metadata].flatMap((address) => both(address)),
  ...both(places.allowed, otherPort),
  ...both(places.dns, 53),
];
const onHost = [...both("0.0.0.0"), tcp("127.0.0.1", otherPort)];
const nameOf = ({ by, host, port: at }: Attempt): string => `${by}:${host}:${at}`;

/** A machine in the lab, with its interface for tests. */
export interface LabMachine {
  spec: MachineSpec;
  record: MachineRecord;
  /** Address of the machine. */
  address: string;
  ask(command: string): Promise<unknown>;
}

/** A lab with servers and a node, shared by all tests of a suite. */
export class SharedLab {
  readonly #driver: LabDriver;
  #lab: NetworkLab | undefined;
  #node: LabNode | undefined;
  readonly #seen: string[][] = [];

  constructor(driver: LabDriver) {
    this.#driver = driver;
  }

  get network(): NetworkLab {
    return this.#lab ?? assert.fail("No lab yet");
  }

  get node(): LabNode {
    return this.#node ?? assert.fail("No node yet");
  }

  /** Creates the lab before the tests of the calling suite, and removes it afterwards. */
  use(): void {
    before(async () => {
      this.#lab = await NetworkLab.make(this.#driver);
      this.#seen.push(await this.network.serve("world", inWorld.map(nameOf)));
      this.#seen.push(await this.network.serve("host", onHost.map(nameOf)));
      this.#node = this.network.node();
    });
    after(async () => await this.#lab?.[Symbol.asyncDispose]());
  }

  /** Boots a machine that lives until the suite ends. */
  async boot(
    egress: EgressTarget[],
    change: Partial<MachineSpec> = {},
    node = this.node,
  ): Promise<LabMachine> {
    const spec = await this.network.order(egress, change);
    const record = (await node.tell("boot", spec)) ?? assert.fail("No record");
    const ask = async (command: string): Promise<unknown> =>
      JSON.parse(await node.tell("ask", spec.id, command));
    return { spec, record, address: String(record.facts["egressAddress"]), ask };
  }

  /** Boots a machine and destroys it after the callback. */
  async with(
    egress: EgressTarget[],
    work: (machine: LabMachine) => Promise<void>,
    change?: Partial<MachineSpec>,
  ): Promise<void> {
    const machine = await this.boot(egress, change);
    try {
      await work(machine);
    } finally {
      await this.node.tell("destroy", machine.spec.id);
    }
  }

  /**
   * Starts a node that finds the test's programs instead of the host's.
   *
   * @param only Names of host programs that the node also finds; all by default.
   */
  async withTools(
    scripts: Record<string, string>,
    work: (node: LabNode) => Promise<void>,
    only?: readonly string[],
  ): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), "nex-tools-"));
    try {
      for (const [name, script] of Object.entries(scripts)) {
        await writeFile(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      }
      for (const name of only ?? []) {
        await symlink((await findProgram(name)) ?? assert.fail(name), join(directory, name));
      }
      const node = this.network.node({}, { PATH: only ? directory : `${directory}:${process.env["PATH"]}` });
      await work(node);
      await node.kill();
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  /** Makes all attempts from a machine at once. @returns the result of each. */
  async reach({ ask }: Pick<LabMachine, "ask">, attempts: Attempt[]): Promise<string[]> {
    return (await ask(`reach ${JSON.stringify(attempts)}`)) as string[];
  }

  /** Fails the test if the machine reaches one of these targets, or a server sees a packet. */
  async assertUnreached(machine: Pick<LabMachine, "ask">, attempts: Attempt[]): Promise<void> {
    const before = this.#seen.map((seen) => seen.length);
    const outcomes = await this.reach(machine, attempts);
    for (const [index, outcome] of outcomes.entries()) {
      assert.match(outcome, refused, JSON.stringify(attempts[index]));
    }
    const seen = this.#seen.flatMap((all, index) => all.slice(before[index]));
    assert.deepEqual(seen, []);
  }
}
