/** The table of packet filter rules that a node keeps on its host. */
import { MachineError } from "../errors.ts";
import { hostRules, type ListedLinks, parseLinks } from "./host-rules.ts";
import { readLinks } from "./link.ts";
import { runTool } from "./tools.ts";

/** Error texts that mean the table can't exist: no table, no `nft` program, or no access to the packet filter. */
const cannotBeThere = /No such file|ENOENT|not permitted|not supported|Unable to initialize/i;

/** The nftables table of one node. The kernel keeps it when the node dies. */
export class HostTable {
  readonly #name: string;
  /** Machines known to this process, used to restore flushed rules. */
  readonly #known = new Map<string, string>();
  /** Serializes changes, because each one reads the current table. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(name: string) {
    this.#name = name;
  }

  /** Adds a machine's device and address. @throws MachineError `boot_failed` */
  async add(link: string, address: string): Promise<void> {
    this.#known.set(link, address);
    await this.#change();
  }

  /** Removes devices that no longer exist. @throws MachineError `boot_failed` */
  async prune(): Promise<void> {
    await this.#change();
  }

  async #change(): Promise<void> {
    const change = this.#turn.then(() => this.#replace());
    this.#turn = change.catch(() => undefined);
    await change;
  }

  async #replace(): Promise<void> {
    const listed = await this.#read();
    const devices = readLinks();
    for (const link of this.#known.keys()) if (!devices.has(link)) this.#known.delete(link);
    const wanted = new Map([...listed, ...this.#known].filter(([link]) => devices.has(link)));
    if (areSame(listed, wanted)) return;
    const { failure } = await runTool("nft", ["-f", "-"], hostRules(this.#name, wanted));
    if (failure === undefined) return;
    throw new MachineError("boot_failed", `Cannot change the host's packet filter: nft says "${failure}"`);
  }

  /** Reads the table from the kernel. */
  async #read(): Promise<ListedLinks> {
    const { output, failure } = await runTool("nft", ["list", "set", "inet", this.#name, "machines"]);
    if (failure === undefined || cannotBeThere.test(failure)) return parseLinks(output);
    throw new MachineError("boot_failed", `Cannot read the host's packet filter: nft says "${failure}"`);
  }
}

function areSame(some: ListedLinks, others: ListedLinks): boolean {
  return some.size === others.size && [...some].every(([link, address]) => others.get(link) === address);
}
