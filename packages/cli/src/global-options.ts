/** Options that every command takes, and where they lead. */
import { type ClientOptions, connectNex, type NexClient } from "@nexengine/client";
import { assertNamespace, defaultNamespace, defaultServer, NexError } from "@nexengine/protocol/internal";
import { type Command, Option } from "commander";
import { readNamedFile } from "./key-files.ts";
import { type LogLevelName, logLevelNames } from "./log-format.ts";
import { parseDuration } from "./option-values.ts";
import { findRunningUp } from "./up-state.ts";

/** The options as commander gives them. */
export interface GlobalOptions {
  server?: string;
  user?: string;
  password?: string;
  creds?: string;
  nkey?: string;
  namespace: string;
  timeout: number;
  connName?: string;
  loglevel: LogLevelName;
  logjson: boolean;
}

const defaultTimeoutMs = 2_000;
/** Adds the options to the program. */
export function addGlobalOptions(program: Command): void {
  program
    .addOption(new Option("-s, --server <url>", "NATS server; several with commas").env("NATS_URL"))
    .addOption(new Option("--user <name>", "user, or without a password a token").env("NATS_USER"))
    .addOption(new Option("--password <password>", "password").env("NATS_PASSWORD"))
    .addOption(new Option("--creds <file>", "credentials file").env("NATS_CREDS"))
    .addOption(new Option("--nkey <file>", "file with the seed of an nkey").env("NATS_NKEY"))
    .addOption(
      new Option("--namespace <name>", "namespace to work in").env("NEX_NAMESPACE").default(defaultNamespace),
    )
    .addOption(
      new Option("--timeout <duration>", "how long to wait for nodes")
        .env("NATS_TIMEOUT")
        .argParser(parseDuration)
        .default(defaultTimeoutMs, "2s"),
    )
    .addOption(new Option("--conn-name <name>", "name of the connection"))
    .addOption(
      new Option("--loglevel <level>", "of the node's log")
        .env("NEX_LOGLEVEL")
        .choices(logLevelNames)
        .default("info"),
    )
    .addOption(new Option("--logjson", "the node's log as JSON").env("NEX_LOGJSON").default(false));
}

/** Was a server named, on the command line or in the environment? */
export function namesServer(options: GlobalOptions): boolean {
  return options.server !== undefined && options.server !== "";
}

/**
 * The login that the options mean. Without a server: that of a running `nex up`, else the usual address.
 *
 * @throws NexError `file_not_found`, `namespace_invalid`, `usage`
 */
export function loginOf(options: GlobalOptions): ClientOptions {
  assertNamespace(options.namespace);
  const servers = (options.server ?? "")
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "");
  if (options.password !== undefined && options.user === undefined) {
    throw new NexError("usage", "Cannot log in: --password is given without --user");
  }
  return {
    servers: servers.length > 0 ? servers : [findRunningUp()?.url ?? defaultServer],
    ...credentialsOf(options),
    name: options.connName ?? "nex",
    namespace: options.namespace,
  };
}

function credentialsOf(options: GlobalOptions): ClientOptions {
  return {
    ...(options.creds ? { credentials: readNamedFile(options.creds, "the credentials file") } : {}),
    ...(options.nkey ? { nkeySeed: readNamedFile(options.nkey, "the nkey file") } : {}),
    ...(options.user !== undefined && options.password !== undefined
      ? { user: options.user, password: options.password }
      : options.user !== undefined
        ? { token: options.user }
        : {}),
  };
}

/** Connects as the options say, runs a command's work, and disconnects. */
export async function withClient<T>(
  options: GlobalOptions,
  work: (client: NexClient) => Promise<T>,
): Promise<T> {
  await using client = await connectNex(loginOf(options));
  return await work(client);
}
