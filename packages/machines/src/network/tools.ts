/** Runs the programs that set up networks. */
import { readlink } from "node:fs/promises";
import { type ProgramRun, runProgram } from "../host/run-program.ts";

const toolTimeoutMs = 10_000;

/** Programs used to set up networks, and their Debian packages. */
export const networkTools = {
  ip: "iproute2",
  nsenter: "util-linux",
  unshare: "util-linux",
  nft: "nftables",
} as const;
export type NetworkTool = keyof typeof networkTools;

/** Runs a tool in the network namespace of this process. */
export async function runTool(
  tool: NetworkTool,
  args: readonly string[],
  input?: string,
): Promise<ProgramRun> {
  return await runProgram(tool, args, { timeoutMs: toolTimeoutMs, ...(input !== undefined && { input }) });
}

/** Runs tools in the network namespace of another process. */
export class ForeignNetwork {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Opens the network of a process; `undefined` if it is ours or the process has exited. */
  static async of(pid: number): Promise<ForeignNetwork | undefined> {
    const path = `/proc/${pid}/ns/net`;
    const links = [path, "/proc/self/ns/net"].map((link) => readlink(link).catch(() => undefined));
    const [theirs, ours] = await Promise.all(links);
    return theirs === undefined || theirs === ours ? undefined : new ForeignNetwork(path);
  }

  /** Runs a tool or a shell in that network. */
  async run(tool: NetworkTool | "sh", args: readonly string[], input?: string): Promise<ProgramRun> {
    return await runTool("nsenter", [`--net=${this.#path}`, "--", tool, ...args], input);
  }
}
