/** Network actions of the test guest. Answers are JSON; a failure is a single word. */
import { spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

/** An attempt to reach a TCP or UDP server. */
export interface Attempt {
  by: "tcp" | "udp";
  /** Address or name of the server. */
  host: string;
  port: number;
  /** Source address; chosen by the kernel by default. */
  from?: string;
  /** Timeout of the answer, in ms. The default suits a network within one host and a fast guest. */
  silenceMs?: number;
}

interface Knocking {
  host: string;
  port: number;
  count: number;
}

/** Default timeout, in ms. It is long for a network within one host. */
const silenceMsDefault = 700;

/** Actions by their names in a command. Each gets the rest of the line. */
export const networkActions: Record<string, (text: string) => unknown> = {
  resolve: async (name) => JSON.stringify(await addressesOf(name)),
  reach: async (text) => JSON.stringify(await Promise.all((JSON.parse(text) as Attempt[]).map(reach))),
  listen: async (place) => JSON.stringify(await greetOneself(place)),
  interfaces: () => JSON.stringify(networkInterfaces()),
  serve: async (port) => JSON.stringify(await serve(Number(port))),
  knock: async (text) => JSON.stringify(await knock(JSON.parse(text) as Knocking)),
  run: (text) => JSON.stringify(run(JSON.parse(text) as string[])),
  write: (path) => JSON.stringify(attempt(() => writeFileSync(path, "text")) ?? "written"),
};

/** Returns the answer, or how the attempt failed. */
export async function reach({ by, ...attempt }: Attempt): Promise<string> {
  const outcome = by === "tcp" ? greeting(attempt) : answer(attempt);
  return await outcome.catch((error: NodeJS.ErrnoException) => error.code ?? error.message);
}

async function greeting({ host, port, from, silenceMs }: Omit<Attempt, "by">): Promise<string> {
  const socket = connect({ host, port, ...(from !== undefined && { localAddress: from }) });
  try {
    const signal = AbortSignal.timeout(silenceMs ?? silenceMsDefault);
    const [greeting] = await once(socket, "data", { signal });
    return String(greeting);
  } finally {
    socket.destroy();
  }
}

async function answer({ host, port, from, silenceMs }: Omit<Attempt, "by">): Promise<string> {
  const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4" });
  try {
    if (from !== undefined) {
      socket.bind(0, from);
      await once(socket, "listening");
    }
    const signal = AbortSignal.timeout(silenceMs ?? silenceMsDefault);
    const heard = once(socket, "message", { signal });
    heard.catch(() => undefined);
    const sent = Promise.withResolvers<void>();
    socket.send("hello", port, host, (error) => (error ? sent.reject(error) : sent.resolve()));
    await sent.promise;
    const [message] = await heard;
    return String(message);
  } finally {
    socket.close();
  }
}

async function addressesOf(name: string): Promise<string[] | string> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "failed";
  }
}

/** Listens on an address with an optional port, and connects to it. */
async function greetOneself(place: string): Promise<string> {
  const [address = "", wanted = "0"] = place.split(" ");
  const server = createServer((socket) => socket.end("own"));
  try {
    server.listen(Number(wanted), address);
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    return await reach({ by: "tcp", host: address, port });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "failed";
  } finally {
    server.close();
  }
}

/** Listens on all addresses until the guest exits. */
async function serve(port: number): Promise<string> {
  const server = createServer((socket) => socket.end("served")).listen(port, "0.0.0.0");
  await once(server, "listening");
  const datagrams = createSocket("udp4", (_, { port: theirs, address }) =>
    datagrams.send("served", theirs, address),
  );
  datagrams.bind(port);
  await once(datagrams, "listening");
  return "serving";
}

/** Sends from `count` UDP sockets and resends lost messages. @returns how many got an answer. */
async function knock({ host, port, count }: Knocking): Promise<number> {
  const silent = new Set<Socket>();
  for (let made = 0; made < count; made++) {
    const socket: Socket = createSocket("udp4", () => silent.delete(socket));
    silent.add(socket.on("error", () => undefined));
  }
  const sockets = [...silent];
  try {
    for (let before = count + 1; silent.size < before; ) {
      before = silent.size;
      for (const socket of silent) await new Promise((sent) => socket.send("hello", port, host, sent));
      await delay(silenceMsDefault / 2);
    }
    return count - silent.size;
  } finally {
    for (const socket of sockets) socket.close();
  }
}

/** Runs a program of the rootfs. */
function run([program = "", ...args]: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  return { status, output: `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}` };
}

function attempt<Value>(act: () => Value): Value | string {
  try {
    return act();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "failed";
  }
}
