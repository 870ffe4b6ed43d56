/** The network namespace of a microVM's monitor. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { findProgram } from "../host/program.ts";
import { settlesWithin } from "../host/wait.ts";
import { hostNetworks } from "../special-networks.ts";
import type { Egress } from "./egress.ts";
import { batch, monitorEndCommands, monitorSwitches, switchScript } from "./link.ts";
import { routerRules } from "./machine-rules.ts";
import { ForeignNetwork, type NetworkTool } from "./tools.ts";

const holderTimeoutMs = 10_000;

/**
 * Network namespace of the monitor of a microVM with egress. It has no name. A holder process of ours keeps it alive
 * until disposal or until this process exits. After that, only the monitor keeps it.
 */
export class MonitorNetwork implements AsyncDisposable {
  /** Address of the machine. */
  readonly address: string;
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess, address: string) {
    this.#holder = holder;
    this.address = address;
  }

  /**
   * Creates the network of a spec: its rules first, then its devices. The monitor starts in the finished network.
   *
   * @param userId User id of the monitor, if it has its own.
   * @returns `undefined` for a spec without egress.
   * @throws MachineError `boot_failed`; the caller must then release the machine's egress.
   */
  static async make(spec: MachineSpec, egress: Egress, userId?: number): Promise<MonitorNetwork | undefined> {
    if (spec.network !== "egress") return undefined;
    const holder = await holdNetwork(spec.id);
    try {
      const address = await setUp(spec, holder.pid ?? 0, egress, userId);
      return new MonitorNetwork(holder, address);
    } catch (error) {
      await letGo(holder);
      throw error;
    }
  }

  /** Path of the namespace file. */
  get path(): string {
    return `/proc/${this.#holder.pid}/ns/net`;
  }

  /** Wraps a command so that it runs in this network with the same pid. */
  async enter(command: readonly string[]): Promise<string[]> {
    const program = (await findProgram("nsenter")) ?? "nsenter";
    return [program, `--net=${this.path}`, "--", ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await letGo(this.#holder);
  }
}

/** Starts a holder process in a new network. It exits at the end of its input, and therefore with this process. */
async function holdNetwork(machineId: string): Promise<ChildProcess> {
  const program = (await findProgram("unshare")) ?? "unshare";
  const { PATH = "" } = process.env;
  const holder = spawn(program, ["--net", "--", "cat"], {
    cwd: "/",
    env: { PATH },
    stdio: ["pipe", "pipe", "ignore"],
  });
  holder.on("error", () => undefined);
  holder.stdin.on("error", () => undefined);
  // The holder echoes this line once it is in its network.
  holder.stdin.write("here\n");
  const signal = AbortSignal.timeout(holderTimeoutMs);
  const here = once(holder.stdout, "data", { signal }).then(() => true);
  const gone = once(holder, "close", { signal }).then(() => false);
  for (const settled of [here, gone]) settled.catch(() => undefined);
  if (await Promise.race([here, gone]).catch(() => false)) return holder;
  await letGo(holder);
  throw bootFailure(machineId, "the network namespace of its monitor can't be created: unshare failed");
}

async function letGo(holder: ChildProcess): Promise<void> {
  if (holder.pid === undefined || holder.exitCode !== null || holder.signalCode !== null) return;
  const gone = once(holder, "exit");
  holder.kill("SIGKILL");
  await settlesWithin(gone, holderTimeoutMs);
}

/** @returns the address of the machine. */
async function setUp(
  spec: MachineSpec,
  pid: number,
  egress: Egress,
  userId: number | undefined,
): Promise<string> {
  const network = await ForeignNetwork.of(pid);
  if (network === undefined) throw bootFailure(spec.id, "its monitor has no network namespace");
  const inside = async (
    what: string,
    [tool, ...args]: [NetworkTool | "sh", ...string[]],
    input: string,
  ): Promise<void> => {
    const { failure } = await network.run(tool, args, input);
    if (failure === undefined) return;
    throw bootFailure(spec.id, `the ${what} of its monitor can't be set: ${tool} says "${failure}"`);
  };
  const link = await egress.connect(spec.id, pid);
  const setUpInside = async (): Promise<void> => {
    await inside("rules", ["nft", "-f", "-"], routerRules(link.address, spec.egress ?? [], hostNetworks()));
    await inside("devices", ["ip", "-batch", "-"], batch(monitorEndCommands(link, userId)));
    await inside("routing", ["sh", "-e"], switchScript(monitorSwitches));
  };
  await Promise.all([egress.list(spec.id, link.address), setUpInside()]);
  return link.address;
}
