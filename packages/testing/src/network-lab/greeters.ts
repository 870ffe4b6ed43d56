/**
 * A program with TCP and UDP servers. Its arguments are their addresses, as `tcp:<address>:<port>` or
 * `udp:<address>:<port>`. Each server sends clients its name and their source address, and logs the same to standard
 * output. It prints `ready` once all servers listen.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

async function listen(name: string): Promise<void> {
  const [by, address, port] = name.split(":");
  const greet = (seen: string | undefined): string => {
    const greeting = `${name} sees ${seen}`;
    console.log(greeting);
    return greeting;
  };
  if (by === "tcp") {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.end(greet(socket.remoteAddress));
    });
    await once(server.listen(Number(port), address), "listening");
    return;
  }
  const socket = createSocket("udp4", (_, from) => socket.send(greet(from.address), from.port, from.address));
  await once(socket.bind(Number(port), address), "listening");
}

await Promise.all(process.argv.slice(2).map(listen));
console.log("ready");
