/** Options that every command takes. */
import { defaultNamespace } from "@nexengine/protocol/subjects";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type LogLevelName, logLevelNames } from "./log-format.ts";
import { addSwitch, parseDuration } from "./option-values.ts";
import { type TimeFormat, timeFormats } from "./time-format.ts";

/** Where a node's log goes. */
const loggerNames = ["std", "file", "nats"] as const;
export type LoggerName = (typeof loggerNames)[number];

/** The options as commander gives them. */
export interface GlobalOptions {
  server?: string;
  user?: string;
  password?: string;
  creds?: string;
  nkey?: string;
  tlscert?: string;
  tlskey?: string;
  tlsca?: string;
  tlsfirst?: boolean;
  context?: string;
  jsdomain?: string;
  namespace: string;
  timeout: number;
  endorser?: string;
  nexus?: string;
  allowGoNodes?: boolean;
  connName?: string;
  logger: LoggerName[];
  loglevel: LogLevelName;
  logjson?: boolean;
  logcolor?: boolean;
  timeformat: TimeFormat;
}

const defaultTimeoutMs = 2_000;
const defaultLoggers: LoggerName[] = ["std"];

/** Adds the options to the program. */
export function addGlobalOptions(program: Command): void {
  addLoginOptions(program);
  program
    .addOption(
      new Option("--namespace <name>", "namespace to work in").env("NEX_NAMESPACE").default(defaultNamespace),
    )
    .addOption(
      new Option("--timeout <duration>", "how long to wait for nodes")
        .env("NATS_TIMEOUT")
        .argParser(parseDuration)
        .default(defaultTimeoutMs, "2s"),
    )
    .addOption(
      new Option(
        "--endorser <key>",
        "public key of the nexus's owner: deploy only to nodes that it has endorsed",
      ).env("NEX_ENDORSER"),
    )
    .addOption(
      new Option(
        "--nexus <name>",
        "name of the nexus: that a node joins, that an endorsement is for, and to which nodes must belong that are deployed to",
      ).env("NEX_NEXUS"),
    )
    .addOption(
      new Option(
        "--allow-go-nodes",
        "deploy to nodes of the Go Nex too, which have neither bound tokens nor a proof of their xkey",
      ).env("NEX_ALLOW_GO_NODES"),
    );
  addLogOptions(program);
}

function addLoginOptions(program: Command): void {
  program
    .addOption(new Option("-s, --server <url>", "NATS server; several with commas").env("NATS_URL"))
    .addOption(new Option("--user <name>", "user, or without a password a token").env("NATS_USER"))
    .addOption(new Option("--password <password>", "password").env("NATS_PASSWORD"))
    .addOption(new Option("--creds <file>", "credentials file").env("NATS_CREDS"))
    .addOption(new Option("--nkey <file>", "file with the seed of an nkey").env("NATS_NKEY"))
    .addOption(new Option("--tlscert <file>", "our TLS certificate (PEM)").env("NATS_CERT"))
    .addOption(new Option("--tlskey <file>", "the key of our TLS certificate").env("NATS_KEY"))
    .addOption(new Option("--tlsca <file>", "certificates of the authorities to trust").env("NATS_CA"));
  addSwitch(program, "tlsfirst", "TLS before the server's greeting");
  program
    .addOption(new Option("--context <name>", "context of the NATS command line").env("NATS_CONTEXT"))
    .option("--jsdomain <domain>", "JetStream domain of artifacts")
    .option("--conn-name <name>", "name of the connection; nex and its version otherwise");
}

function addLogOptions(program: Command): void {
  program
    .addOption(
      new Option("--logger <where>", "where a node's log goes: std, file or nats; repeatable")
        .env("NEX_LOGGER")
        .argParser(collectLoggers)
        .default(defaultLoggers, "std"),
    )
    .addOption(
      new Option("--loglevel <level>", "of a node's log")
        .env("NEX_LOGLEVEL")
        .choices(logLevelNames)
        .default("info"),
    );
  addSwitch(program, "logjson", "a node's log as JSON", "NEX_LOGJSON");
  addSwitch(program, "logcolor", "colours in a node's log, on a terminal or not", "NEX_LOG_COLORIZED");
  program.addOption(
    new Option("--timeformat <format>", "of the times in logs and events")
      .env("NEX_LOG_TIMEFORMAT")
      .choices(Object.keys(timeFormats))
      .default("DateTime"),
  );
}

/** The first that is named takes the place of the default. */
function collectLoggers(text: string, previous: LoggerName[]): LoggerName[] {
  const named = text.split(",").map((name) => {
    const known = loggerNames.find((logger) => logger === name.trim());
    if (known === undefined) throw new InvalidArgumentError(`Allowed choices are ${loggerNames.join(", ")}.`);
    return known;
  });
  return previous === defaultLoggers ? named : [...previous, ...named];
}
