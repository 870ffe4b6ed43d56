/** Where the options lead: flags, then environment, `--context`, a running `nex up`, the selected context. */
import { type ClientOptions, connectNex, type Fallback, type NexClient } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import {
  defaultServer,
  loginOfContext,
  type NatsContext,
  type NatsLogin,
  type NatsTls,
  type ReadNamedFile,
  splitUrls,
  tlsOfContext,
  withoutSecrets,
} from "@nexengine/protocol/nats";
import { assertNamespace } from "@nexengine/protocol/subjects";
import { expandHome, type NamedContext, readContext, selectedContextName } from "./contexts.ts";
import { version } from "./daemon.ts";
import type { GlobalOptions } from "./global-options.ts";
import { readKeyFile, readNamedFile } from "./key-files.ts";
import { note, visible } from "./output.ts";
import { findRunningUp } from "./up-state.ts";

/** The connection that the options lead to. */
export interface Connection {
  login: ClientOptions;
  /** JetStream domain of artifacts. */
  jsDomain: string | undefined;
}

/** Was a server named, by URL or context, on the command line or in the environment? */
export function namesServer(options: GlobalOptions): boolean {
  return options.server !== undefined || options.context !== undefined;
}

/**
 * The connection that the options mean. What is given as a flag, or in the environment, wins over the same of the
 * context; a login that is given is taken whole.
 *
 * @throws NexError `file_not_found`, `namespace_invalid`, `config_invalid`, `usage`
 */
export function connectionOf(options: GlobalOptions): Connection {
  assertNamespace(options.namespace);
  const { servers, named } = serversOf(options);
  for (const server of servers) refuseScheme(server);
  const tls = tlsOf(options, named?.context);
  const inboxPrefix = named?.context.inbox_prefix || undefined;
  return {
    login: {
      servers,
      ...(givenLogin(options) ?? contextLogin(named?.context) ?? {}),
      ...(tls === undefined ? {} : { tls }),
      ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
      name: options.connName ?? connectionName(),
      namespace: options.namespace,
      ...(options.endorser === undefined ? {} : { endorser: options.endorser }),
      ...(options.nexus === undefined ? {} : { nexus: options.nexus }),
      ...(options.allowGoNodes === undefined ? {} : { allowGoNodes: options.allowGoNodes }),
    },
    jsDomain: options.jsdomain ?? (named?.context.jetstream_domain || undefined),
  };
}

/** @throws NexError `usage` for a URL that is no NATS server's */
function refuseScheme(server: string): void {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(server)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === "nats" || scheme === "tls") return;
  const why = /^wss?$/.test(scheme)
    ? "this version has no websockets"
    : `"${scheme}" is no scheme of a NATS server`;
  throw new NexError("usage", `Cannot connect to "${withoutSecrets(server)}": ${why}`, {
    advice: "Use the server's nats:// or tls:// URL",
  });
}

/** Connects as the options say, runs a command's work, and disconnects. */
export async function withClient<T>(
  options: GlobalOptions,
  work: (client: NexClient, connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = connectionOf(options);
  await using client = await connectNex({ ...connection.login, onFallback: noteFallback });
  return await work(client, connection);
}

/** A node without our proofs may be a stranger, so its use is never silent. */
function noteFallback({ action, name, nodeId }: Fallback): void {
  const risk = action === "deploy" ? ", and whoever answers in its place can read the environment" : "";
  note(
    visible(
      `Node ${nodeId} shows neither bound tokens nor a proof of its xkey, so the ${action} of "${name}" goes there with a ` +
        `legacy token, as --allow-go-nodes permits${risk}`,
    ),
  );
}

function serversOf(options: GlobalOptions): { servers: string[]; named: NamedContext | undefined } {
  const given = splitUrls(options.server ?? "");
  const running = namesServer(options) ? undefined : findRunningUp();
  const chosen = options.context ?? running?.context;
  if (chosen !== undefined) {
    const named = readContext(chosen);
    const urls = splitUrls(named.context.url);
    if (given.length > 0 && urls.length > 0) {
      note(`The server is ${given.map(withoutSecrets).join(", ")}; context "${chosen}" gives the rest`);
    }
    warnOf(named);
    return { servers: [given, urls, [defaultServer]].find((list) => list.length > 0) ?? [], named };
  }
  if (given.length > 0) return { servers: given, named: undefined };
  if (running !== undefined) return { servers: [running.url], named: undefined };
  const selected = selectedContextName();
  if (selected === undefined) return { servers: [defaultServer], named: undefined };
  const named = readContext(selected);
  warnOf(named);
  const urls = splitUrls(named.context.url);
  return { servers: urls.length > 0 ? urls : [defaultServer], named };
}

function warnOf({ name, context }: NamedContext): void {
  if (context.jetstream_api_prefix !== "") {
    note(`Context "${name}": this version does not support its "jetstream_api_prefix"`);
  }
}

function givenLogin(options: GlobalOptions): NatsLogin | undefined {
  const { user, password, creds, nkey } = options;
  if (password !== undefined && user === undefined) {
    throw new NexError("usage", "Cannot log in: --password is given without --user");
  }
  if (user === undefined && creds === undefined && nkey === undefined) return undefined;
  return {
    ...(creds === undefined ? {} : { credentials: readKeyFile(creds, "the credentials file") }),
    ...(nkey === undefined ? {} : { nkeySeed: readKeyFile(nkey, "the nkey file") }),
    ...(user === undefined ? {} : password === undefined ? { token: user } : { user, password }),
  };
}

function contextLogin(context: NatsContext | undefined): NatsLogin | undefined {
  return context && loginOfContext(context, readContextFile);
}

function tlsOf(options: GlobalOptions, context: NatsContext | undefined): NatsTls | undefined {
  if ((options.tlscert === undefined) !== (options.tlskey === undefined)) {
    throw new NexError("usage", "Cannot use TLS: --tlscert and --tlskey go together");
  }
  const ofContext = options.tlscert === undefined ? context : undefined;
  const tls = {
    cert: options.tlscert ?? ofContext?.cert ?? "",
    key: options.tlskey ?? ofContext?.key ?? "",
    ca: options.tlsca ?? context?.ca ?? "",
    tls_first: options.tlsfirst ?? context?.tls_first ?? false,
  };
  return tlsOfContext(tls, readContextFile);
}

const readContextFile: ReadNamedFile = (path, what, content) =>
  (content === "secret" ? readKeyFile : readNamedFile)(expandHome(path), what);

function connectionName(): string {
  const found = version();
  return found === "development" ? "nex" : `nex-${found}`;
}
