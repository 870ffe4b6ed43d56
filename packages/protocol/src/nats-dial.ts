/**
 * A NATS connection that keeps its own transport. nats.js holds one transport factory for the whole process, and asks it
 * again at each reconnect: the last caller of any `connect` would decide how every connection comes back.
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

/** What a connection is made of. The caller brings it, so this package opens nothing by itself. */
export interface DialKit {
  /** Makes a transport for one attempt to connect. */
  transport: () => Transport;
  /** Gives all addresses of a host. */
  resolve: Resolve;
}

/** The members of the library's classes that are used here, which its types keep private. */
interface Inside {
  connection: new (options: ConnectionOptions) => NatsConnectionImpl & { options: ConnectionOptions };
  protocol: { prepare(): unknown; selectServer(): Resolvable | undefined };
}

interface Resolvable extends Server {
  resolve(options: { fn?: Resolve }): Promise<Server[]>;
}

/** Connects as the library's own `connect` does, with a transport that no other connection of the process changes. */
export async function dialNats(options: ConnectionOptions, kit: DialKit): Promise<NatsConnection> {
  const Connection = NatsConnectionImpl as unknown as Inside["connection"];
  const servers = [options.servers ?? []].flat().map(withPort);
  // The library refuses to resolve names while the process has no factory, or one of websockets.
  const connection = new Connection({ ...options, servers, resolve: false });
  connection.options.resolve = options.resolve ?? true;
  const protocol = new ProtocolHandler(connection.options, connection);
  pin(protocol, kit);
  await protocol.dialLoop();
  connection.protocol = protocol;
  return connection as NatsConnection;
}

/** A factory of websockets, which another connection may have set, has another default port. */
function withPort(server: string): string {
  const { host, port } = parseServer(server) ?? {};
  if (host === undefined || port === undefined) return server;
  const scheme = /^[a-z]+:\/\//i.exec(server)?.[0] ?? "";
  return `${scheme}${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function pin(protocol: ProtocolHandler, kit: DialKit): void {
  const inside = protocol as unknown as Inside["protocol"];
  let transport: Transport | undefined;
  // The library assigns what the process's factory made, unconnected, and then uses the member.
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
      // No connection of this process has set a factory yet, or the one that is set refuses its own options.
      setTransportFactory({ factory: kit.transport, dnsResolveFn: kit.resolve });
      return prepare();
    }
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
