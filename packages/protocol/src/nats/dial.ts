/**
 * A NATS connection with its own transport. nats.js has one transport factory per process and consults it at each
 * reconnect. The last caller of `connect` would therefore decide how every other connection reconnects.
 */
import type { ConnectionOptions, NatsConnection } from "@nats-io/nats-core";
import {
  NatsConnectionImpl,
  ProtocolHandler,
  type Server,
  setTransportFactory,
} from "@nats-io/nats-core/internal";
import { parseServer } from "./server-address.ts";

type Transport = ProtocolHandler["transport"];
type Resolve = (host: string) => Promise<string[]>;

/** Transport and resolver of a connection. The caller provides them, so this package performs no I/O itself. */
export interface DialKit {
  /** Creates a transport for one connection attempt. */
  transport: () => Transport;
  /** Resolves a host to all its addresses. */
  resolve: Resolve;
}

/** Private members of the library's classes that this module uses. */
interface Inside {
  connection: new (options: ConnectionOptions) => NatsConnectionImpl & { options: ConnectionOptions };
  protocol: {
    prepare(): unknown;
    selectServer(): Resolvable | undefined;
    /** The running reconnect loop. */
    connectPromise: Promise<void> | null;
    disconnected(error?: Error): Promise<void>;
    dispatchStatus(status: { type: "disconnect"; server: string }): void;
    servers: { getCurrentServer(): Server };
  };
}

interface Resolvable extends Server {
  resolve(options: { fn?: Resolve }): Promise<Server[]>;
}

/** Connects like the library's `connect`, with a transport that no other connection of the process can change. */
export async function dialNats(options: ConnectionOptions, kit: DialKit): Promise<NatsConnection> {
  const Connection = NatsConnectionImpl as unknown as Inside["connection"];
  const servers = [options.servers ?? []].flat().map(withPort);
  // The library refuses to resolve names while the process has no factory, or a websocket factory.
  const connection = new Connection({ ...options, servers, resolve: false });
  connection.options.resolve = options.resolve ?? true;
  const protocol = new ProtocolHandler(connection.options, connection);
  pin(protocol, kit);
  await protocol.dialLoop();
  connection.protocol = protocol;
  return connection as NatsConnection;
}

/** Add the port explicitly: a websocket factory set by another connection has a different default port. */
function withPort(server: string): string {
  const { host, port } = parseServer(server) ?? {};
  if (host === undefined || port === undefined) return server;
  const scheme = /^[a-z]+:\/\//i.exec(server)?.[0] ?? "";
  return `${scheme}${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function pin(protocol: ProtocolHandler, kit: DialKit): void {
  const inside = protocol as unknown as Inside["protocol"];
  let transport: Transport | undefined;
  // The library assigns the unconnected transport of the process-wide factory, then uses this member.
  Object.defineProperty(protocol, "transport", {
    get: () => transport,
    set: () => {
      transport = kit.transport();
    },
  });
  const prepare = inside.prepare.bind(protocol);
  inside.prepare = () => {
    try {
      return prepare();
    } catch {
      // Either no connection of this process has set a factory yet, or the current factory rejects its options.
      setTransportFactory({ factory: kit.transport, dnsResolveFn: kit.resolve });
      return prepare();
    }
  };
  const disconnected = inside.disconnected.bind(protocol);
  // The library starts to reconnect at each refused login too. All of these wait for the one loop that made the attempts,
  // and each reports the return: as many reconnects as logins were refused.
  inside.disconnected = async (error) => {
    if (inside.connectPromise === null) return await disconnected(error);
    inside.dispatchStatus({ type: "disconnect", server: inside.servers.getCurrentServer().toString() });
  };
  const selectServer = inside.selectServer.bind(protocol);
  inside.selectServer = () => {
    const server = selectServer();
    if (server !== undefined && !Object.hasOwn(server, "resolve")) {
      const resolve = server.resolve.bind(server);
      server.resolve = (options) => resolve({ ...options, fn: kit.resolve });
    }
    return server;
  };
}
