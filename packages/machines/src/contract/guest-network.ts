/** What the test guest tries on its network. The answers are JSON, and a failure is a word of them. */
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";

/** What is tried: to be greeted by a TCP server, or answered by a UDP one. */
export interface Attempt {
  by: "tcp" | "udp";
  /** An address or a name. */
  host: string;
  port: number;
  /** Whence; by default where the kernel chooses. */
  from?: string;
}

/** Long for a network of one host. An answer that never comes takes so long. */
const silenceMs = 700;

/** By their names in a command, with what stands behind the name. */
export const networkDeeds: Record<string, (text: string) => unknown> = {
  resolve: async (name) => JSON.stringify(await addressesOf(name)),
  reach: async (text) => JSON.stringify(await Promise.all((JSON.parse(text) as Attempt[]).map(reach))),
  listen: async (address) => JSON.stringify(await greetOneself(address)),
  interfaces: () => JSON.stringify(networkInterfaces()),
  read: (path) => JSON.stringify(attempt(() => readFileSync(path, "utf8"))),
  write: (path) => JSON.stringify(attempt(() => writeFileSync(path, "text")) ?? "written"),
};

/** What came back, or how it failed. */
export async function reach({ by, host, port, from }: Attempt): Promise<string> {
  const outcome = by === "tcp" ? greeting(host, port, from) : answer(host, port, from);
  return await outcome.catch((error: NodeJS.ErrnoException) => error.code ?? error.message);
}

async function greeting(host: string, port: number, localAddress?: string): Promise<string> {
  const socket = connect({ host, port, ...(localAddress !== undefined && { localAddress }) });
  try {
    const [greeting] = await once(socket, "data", { signal: AbortSignal.timeout(silenceMs) });
    return String(greeting);
  } finally {
    socket.destroy();
  }
}

async function answer(host: string, port: number, from?: string): Promise<string> {
  const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4" });
  try {
    if (from !== undefined) {
      socket.bind(0, from);
      await once(socket, "listening");
    }
    const heard = once(socket, "message", { signal: AbortSignal.timeout(silenceMs) });
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

/** Listens on an address, and connects to it. */
async function greetOneself(address: string): Promise<string> {
  const server = createServer((socket) => socket.end("own"));
  try {
    server.listen(0, address);
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    return await reach({ by: "tcp", host: address, port });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "failed";
  } finally {
    server.close();
  }
}

function attempt<Value>(act: () => Value): Value | string {
  try {
    return act();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "failed";
  }
}
