/**
 * The socket in a node's state directory by which `nex node upgrade` asks for a successor. Only who may enter the directory
 * can connect. One line of JSON goes each way.
 */
import { once } from "node:events";
import { rename, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { openShortPath } from "@nexengine/node/internal";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { z } from "zod";
import { type Program, programSchema } from "./envelopes.ts";

const socketName = "upgrade";
const requestTimeMs = 5_000;
const requestBytesMax = 65_536;
/** Time for a hand-over as a whole. Deploys and calls that have begun are finished in it. */
const upgradeTimeMs = 600_000;

const requestSchema = z.object({ program: programSchema });
const answerSchema = z.object({ pid: z.number().int().optional(), error: z.string().optional() });

/** Starts a successor from a program. @returns its pid @throws NexError when it has not taken over */
export type StartSuccessor = (program: Program) => Promise<number>;

export class UpgradeSocket implements AsyncDisposable {
  readonly #directory: string;
  readonly #server: Server;
  /** Whether a successor listens there by now. */
  isHandedOver = false;

  private constructor(directory: string, server: Server) {
    this.#directory = directory;
    this.#server = server;
  }

  static async open(directory: string, start: StartSuccessor): Promise<UpgradeSocket> {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      void answer(socket, start);
    });
    // Closing a server removes the path that it was opened with, which must not be that of a successor.
    const own = `.${socketName}-${process.pid}`;
    await rm(join(directory, own), { force: true });
    {
      await using short = await openShortPath(directory);
      server.listen(join(short.path, own));
      await once(server, "listening");
    }
    await rename(join(directory, own), join(directory, socketName));
    server.unref();
    return new UpgradeSocket(directory, server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    if (!this.isHandedOver) await rm(join(this.#directory, socketName), { force: true });
  }
}

async function answer(socket: Socket, start: StartSuccessor): Promise<void> {
  let reply: z.infer<typeof answerSchema>;
  try {
    const { program } = requestSchema.parse(JSON.parse(await lineOf(socket, requestTimeMs)));
    reply = { pid: await start(program) };
  } catch (error) {
    reply = { error: errorText(error) };
  }
  socket.end(`${JSON.stringify(reply)}\n`);
}

/**
 * Asks the node of a state directory to hand itself to a new process.
 *
 * @returns the pid of that process.
 * @throws NexError `node_not_found`, `hand_over_refused`
 */
export async function askForSuccessor(directory: string, program: Program): Promise<number> {
  const socket = await connectTo(directory);
  socket.write(`${JSON.stringify({ program })}\n`);
  const { pid, error } = answerSchema.parse(JSON.parse(await lineOf(socket, upgradeTimeMs)));
  socket.destroy();
  if (pid !== undefined) return pid;
  throw new NexError("hand_over_refused", error ?? "The node was not handed over");
}

/** @throws NexError `node_not_found` */
async function connectTo(directory: string): Promise<Socket> {
  try {
    await using short = await openShortPath(directory);
    const socket = connect(join(short.path, socketName));
    await once(socket, "connect");
    return socket;
  } catch (cause) {
    throw new NexError(
      "node_not_found",
      `No node runs in the state directory "${directory}": ${errorText(cause)}`,
      { cause, advice: "Show the nodes of this host with: nex node state" },
    );
  }
}

async function lineOf(socket: Socket, timeoutMs: number): Promise<string> {
  const lines = createInterface({ input: socket });
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > requestBytesMax) socket.destroy();
  });
  const timer = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: timer.signal }).then(() => {
    throw new NexError("timeout", `The node did not answer within ${timeoutMs / 1_000} s`);
  });
  late.catch(() => undefined);
  const closed = once(lines, "close").then(() => {
    throw new NexError("hand_over_refused", "The node has ended before it answered");
  });
  closed.catch(() => undefined);
  try {
    const [line] = await Promise.race([once(lines, "line"), late, closed]);
    return String(line);
  } finally {
    timer.abort();
  }
}
