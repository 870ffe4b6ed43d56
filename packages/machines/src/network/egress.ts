import { createHash, randomInt } from "node:crypto";
import { MachineError } from "../errors.ts";
import { bootFailure } from "../host/boot-failure.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import { holdsWithin } from "../host/wait.ts";
import { type Ipv4Network, parseIpv4Network } from "../ipv4.ts";
import { switchForwardingOn } from "./forwarding.ts";
import { HostTable } from "./host-table.ts";
import { type EgressLink, hostEndCommands, linkAt, linkName, linksIn, readLinks } from "./link.ts";
import { runTool } from "./tools.ts";
import { findUnmetEgressRequirement } from "./unmet-requirements.ts";

/** From which machines get their addresses, if a driver is told nothing else. */
export const defaultEgressNetwork = "100.127.0.0/16";

const triesMax = 16;
const goneTimeoutMs = 2_000;

type FindUnmetRequirement = () => Promise<UnmetRequirement | undefined>;

/** The host's side of the networks of machines with egress. */
export class Egress {
  readonly #network: string;
  readonly #table: HostTable;
  readonly #findUnmetGuestRequirement: FindUnmetRequirement | undefined;
  #unmetRequirement: Promise<UnmetRequirement | undefined> | undefined;

  /**
   * @param network From which machines get their addresses, like `100.127.0.0/16`.
   * @param findGuestLack Of microVMs, whose monitors need tap devices: what the guests lack.
   */
  constructor(network: string, stateDirectory: string, findUnmetGuestRequirement?: FindUnmetRequirement) {
    this.#network = network;
    this.#findUnmetGuestRequirement = findUnmetGuestRequirement;
    const digest = createHash("sha256").update(stateDirectory).digest("hex");
    this.#table = new HostTable(`nex_${digest.slice(0, 16)}`);
  }

  /** What this host lacks for egress, found by trying; asked again as long as there is something. */
  async unmetRequirement(): Promise<UnmetRequirement | undefined> {
    this.#unmetRequirement ??= this.#findUnmetRequirement();
    const unmet = await this.#unmetRequirement;
    if (unmet) this.#unmetRequirement = undefined;
    return unmet;
  }

  async #findUnmetRequirement(): Promise<UnmetRequirement | undefined> {
    const needsTap = this.#findUnmetGuestRequirement !== undefined;
    return (
      (await this.#findUnmetGuestRequirement?.()) ??
      (await findUnmetEgressRequirement(this.#network, needsTap))
    );
  }

  /**
   * Refuses a machine whose device is there already: it is not this machine's, and must not go with it.
   *
   * @throws MachineError `boot_failed`
   */
  demandFree(machineId: string): void {
    const name = linkName(machineId);
    if (!readLinks().has(name)) return;
    const advice = `Boot it with another id, or remove the device: ip link delete ${name}`;
    throw bootFailure(machineId, `its network device "${name}" is there already. ${advice}`);
  }

  /**
   * Connects the network of a process that has not begun with the host's, whose rules do not know of it yet.
   *
   * @returns the machine's end, whose device is still down and has no address.
   * @throws MachineError `boot_failed`
   */
  async connect(machineId: string, pid: number): Promise<EgressLink> {
    const network = parseIpv4Network(this.#network);
    if (network === undefined) throw bootFailure(machineId, `"${this.#network}" is no IPv4 network`);
    const unforwarded = await switchForwardingOn();
    if (unforwarded) throw bootFailure(machineId, `${unforwarded.reason}. ${unforwarded.advice}`);
    return await makeLink(network, machineId, pid);
  }

  /**
   * Lists a machine in the host's rules; one that was found again too, should these have been cleared meanwhile.
   *
   * @throws MachineError `boot_failed`
   */
  async list(machineId: string, address: string): Promise<void> {
    await this.#table.add(linkName(machineId), address);
  }

  /**
   * Removes what a machine had of the host; there need be nothing.
   *
   * @throws MachineError `destroy_failed` when something is left.
   */
  async release(machineId: string): Promise<void> {
    const name = linkName(machineId);
    if (readLinks().has(name)) {
      const { failure = "" } = await runTool("ip", ["link", "delete", name]);
      // The kernel may have taken it away with the machine's end of it.
      if (!(await holdsWithin(() => !readLinks().has(name), goneTimeoutMs))) {
        throw new MachineError("destroy_failed", `Cannot remove the network device "${name}": ${failure}`);
      }
    }
    await this.#table.prune();
  }

  /** Strikes off machines of dead nodes whose devices have gone. What can't be done now is done with the next change. */
  async prune(): Promise<void> {
    await this.#table.prune().catch(() => undefined);
  }
}

/** Begins anywhere, so that two nodes seldom try the same, and an address does not come back at once. */
async function makeLink(network: Ipv4Network, machineId: string, pid: number): Promise<EgressLink> {
  const count = linksIn(network);
  const first = randomInt(count);
  let why = "";
  for (let tries = 0; tries < Math.min(triesMax, count); tries++) {
    const link = linkAt(network, (first + tries) % count, machineId);
    const { failure } = await runTool("ip", ["-batch", "-"], hostEndCommands(link, pid));
    if (failure === undefined) return link;
    why = failure;
    if (!/File exists|busy/i.test(failure)) break;
  }
  throw bootFailure(machineId, `it can't be connected with the host's network: ip says "${why}"`);
}
