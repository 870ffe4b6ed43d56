/** The two processes of an upgrade: the node that runs starts its successor, hands itself over, and waits for its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { type NexNode, type StepChannel, serveHandOver } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/errors";
import type { Program } from "./upgrade-socket.ts";

/** Tells a process that its parent is a node that it takes over. */
const takeOverVariable = "NEX_TAKE_OVER";
const signalStatusBase = 128;
const forwarded = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"] as const;

/** Whether this process was started to take a node over, and the channel to that node. */
export function channelToPredecessor(): StepChannel | undefined {
  const isSuccessor = process.env[takeOverVariable] === "1" && process.send !== undefined;
  delete process.env[takeOverVariable];
  if (!isSuccessor) return undefined;
  return {
    send: (message) => void process.send?.(message),
    listen: ({ message, closed }) => {
      process.on("message", message);
      process.once("disconnect", closed);
    },
  };
}

/**
 * Ends this process at once when its parent is gone, which would pass the signals of a supervisor on. Machines stay, and the
 * node that the supervisor starts adopts them.
 */
export function endWithParent(log: { error(text: string): void }): void {
  const end = (): void => {
    log.error("the process that has started this one is gone: ends at once, and leaves the machines running");
    process.kill(process.pid, "SIGKILL");
  };
  if (!process.connected) end();
  process.once("disconnect", end);
  // The channel alone keeps no process.
  process.channel?.unref();
}

/** The successor of a node that runs in this process. */
export class Successor {
  readonly #child: ChildProcess;
  /** A signal that came while the node changed hands. */
  #asked: NodeJS.Signals | undefined;
  #hasNode = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const signal of forwarded) process.on(signal, this.#forward);
  }

  readonly #forward = (signal: NodeJS.Signals): void => {
    this.#asked = signal;
    if (this.#hasNode) this.#child.kill(signal);
  };

  #forwardNoMore(): void {
    for (const signal of forwarded) process.off(signal, this.#forward);
  }

  /**
   * Starts a program with this node's arguments, and hands the node to it.
   *
   * @throws NexError `hand_over_refused` when it has not taken over. Unless the error says so, this node goes on then.
   */
  static async start(node: NexNode, program: Program): Promise<Successor> {
    const [file = process.execPath, ...first] = program;
    const child = spawn(file, [...first, ...process.argv.slice(2)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: { ...process.env, [takeOverVariable]: "1" },
      // A terminal's signals go to this process alone, which passes them on.
      detached: true,
    });
    const failed = once(child, "error").then(([error]: Error[]) => error?.message);
    const successor = new Successor(child);
    const served = await serveHandOver(node.handOver(), channelTo(child));
    if (served === undefined) {
      successor.#hasNode = true;
      return successor;
    }
    successor.#forwardNoMore();
    child.kill("SIGKILL");
    const status = child.exitCode === null ? "" : ` (exit status ${child.exitCode}; its log says why)`;
    const why = child.pid === undefined ? await failed : served.why + status;
    const rest = served.goesOn ? "; the node goes on as before" : "; the node has ended";
    throw new NexError("hand_over_refused", `The new process did not take the node over: ${why}${rest}`);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits for its end, and passes signals on. @returns its exit status */
  async ended(): Promise<number> {
    const child = this.#child;
    if (this.#asked !== undefined) child.kill(this.#asked);
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    this.#forwardNoMore();
    const { exitCode, signalCode } = child;
    return exitCode ?? signalStatusBase + (signalCode === null ? 0 : constants.signals[signalCode]);
  }
}

function channelTo(child: ChildProcess): StepChannel {
  return {
    send: (message) => void child.send(message),
    listen: ({ message, closed }) => {
      child.on("message", message);
      child.once("disconnect", closed);
      child.once("error", closed);
    },
  };
}
