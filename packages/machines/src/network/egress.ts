/** Gives machines with egress their links and rules, and takes them back. */
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

/** Default address range of machines with egress. */
export const defaultEgressNetwork = "100.127.0.0/16";

const triesMax = 16;
const goneTimeoutMs = 2_000;

type FindUnmetRequirement = () => Promise<UnmetRequirement | undefined>;

/** The host side of the networks of machines with egress. */
export class Egress {
  readonly #network: string;
  readonly #table: HostTable;
  readonly #findUnmetGuestRequirement: FindUnmetRequirement | undefined;
  #unmetRequirement: Promise<UnmetRequirement | undefined> | undefined;

  /**
   * @param network Address range of the machines, such as `100.127.0.0/16`.
   * @param findUnmetGuestRequirement For microVMs, whose monitors need tap devices: finds an unmet requirement of the
   *   guest.
   */
  constructor(network: string, stateDirectory: string, findUnmetGuestRequirement?: FindUnmetRequirement) {
    this.#network = network;
    this.#findUnmetGuestRequirement = findUnmetGuestRequirement;
    const digest = createHash("sha256").update(stateDirectory).digest("hex");
    this.#table = new HostTable(`nex_${digest.slice(0, 16)}`);
  }

  /** Probes for an unmet requirement of egress on this host. Probes again after a failure. */
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
   * Refuses a machine whose network device already exists. The device belongs to someone else, and cleanup must not
   * remove it.
   *
   * @throws MachineError `boot_failed`
   */
  demandFree(machineId: string): void {
    const name = linkName(machineId);
    if (!readLinks().has(name)) return;
    const advice = `Boot it with another id, or remove the device: ip link delete ${name}`;
    throw bootFailure(machineId, `its network device "${name}" already exists. ${advice}`);
  }

  /**
   * Connects the network of a process to the host's network, before the program starts and before the host's rules
   * list it.
   *
   * @returns the link. The machine's end is still down and has no address.
   * @throws MachineError `boot_failed`
   */
  async connect(machineId: string, pid: number): Promise<EgressLink> {
    const network = parseIpv4Network(this.#network);
    if (network === undefined) throw bootFailure(machineId, `"${this.#network}" is not an IPv4 network`);
    const unforwarded = await switchForwardingOn();
    if (unforwarded) throw bootFailure(machineId, `${unforwarded.reason}. ${unforwarded.advice}`);
    return await makeLink(network, machineId, pid);
  }

  /**
   * Adds a machine to the host's rules. Also called for recovered machines, in case the rules were flushed.
   *
   * @throws MachineError `boot_failed`
   */
  async list(machineId: string, address: string): Promise<void> {
    await this.#table.add(linkName(machineId), address);
  }

  /**
   * Removes a machine's network resources on the host. Succeeds if there are none.
   *
   * @throws MachineError `destroy_failed` if anything is left.
   */
  async release(machineId: string): Promise<void> {
    const name = linkName(machineId);
    if (readLinks().has(name)) {
      const { failure = "" } = await runTool("ip", ["link", "delete", name]);
      // The kernel may have removed the device together with the machine's end.
      if (!(await holdsWithin(() => !readLinks().has(name), goneTimeoutMs))) {
        throw new MachineError("destroy_failed", `Cannot remove the network device "${name}": ${failure}`);
      }
    }
    await this.#table.prune();
  }

  /**
   * Removes machines of dead nodes from the rules once their devices are gone. A failure is retried with the next
   * change.
   */
  async prune(): Promise<void> {
    await this.#table.prune().catch(() => undefined);
  }
}

/** Starts at a random slot, so that nodes rarely collide and addresses are not reused immediately. */
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
  throw bootFailure(machineId, `it can't be connected to the host's network: ip says "${why}"`);
}
