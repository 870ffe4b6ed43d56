import { MachineError } from "../errors.ts";
import { hostRules, type ListedLinks, parseLinks } from "./host-rules.ts";
import { readLinks } from "./link.ts";
import { runTool } from "./tools.ts";

/** What is said where there is no table, no program, and no filter that this process may touch. */
const cannotBeThere = /No such file|ENOENT|not permitted|not supported|Unable to initialize/i;

/** The table of one node in the host's packet filter, which the kernel keeps when the node dies. */
export class HostTable {
  readonly #name: string;
  /** What this process knows of, in case somebody clears the host's filter. */
  readonly #known = new Map<string, string>();
  /** One change after the other: each reads what is there. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(name: string) {
    this.#name = name;
  }

  /** Lists a machine's device, and what address the machine has. @throws MachineError `boot_failed` */
  async add(link: string, address: string): Promise<void> {
    this.#known.set(link, address);
    await this.#change();
  }

  /** Strikes the devices off the list that are gone. @throws MachineError `boot_failed` */
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

  /** What the kernel has. */
  async #read(): Promise<ListedLinks> {
    const { output, failure } = await runTool("nft", ["list", "set", "inet", this.#name, "machines"]);
    if (failure === undefined || cannotBeThere.test(failure)) return parseLinks(output);
    throw new MachineError("boot_failed", `Cannot read the host's packet filter: nft says "${failure}"`);
  }
}

function areSame(some: ListedLinks, others: ListedLinks): boolean {
  return some.size === others.size && [...some].every(([link, address]) => others.get(link) === address);
}
