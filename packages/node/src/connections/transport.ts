/** The NATS client's transport, but that an attempt which came to nothing leaves nothing behind. */
import type { ConnectionOptions, NatsConnection, ServerInfo } from "@nats-io/transport-node";
import { NodeTransport, nodeResolveHost } from "@nats-io/transport-node/lib/node_transport.js";
import { dialNats } from "@nexengine/protocol/nats";

/** A server's greeting has no more. */
const infoBytesMax = 65_536;

class Transport extends NodeTransport {
  /** The client's own leaves the socket open to a server that has not greeted in time. */
  override close(error?: Error): Promise<void> {
    if (this.connected) return super.close(error);
    this.done = true;
    this.socket?.destroy();
    return Promise.resolve();
  }

  /** The client's own waits for unsent bytes first, which a server that does not read never takes. */
  override disconnect(): void {
    if (!this.connected || this.done) return;
    // Its `close` event ends the transport.
    this.socket?.destroy();
  }

  /** The client's own reads on for as long as there is no end of a line, and looks at all of it each time. */
  override peekInfo(): Promise<ServerInfo> {
    const { socket } = this;
    const info = super.peekInfo();
    let bytes = 0;
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > infoBytesMax) socket.destroy(new Error("the server's greeting does not end"));
    });
    return info;
  }
}

/** Connects, as the client's own `connect`. */
export function connectTransport(options: ConnectionOptions): Promise<NatsConnection> {
  return dialNats(options, { transport: () => new Transport(), resolve: nodeResolveHost });
}
