/** `nex up`: everything that is needed, in one command: a nats-server, a node, and what to type next. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type NodeConfigInput, readConfigFile, startNode } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/errors";
import { withoutSecrets } from "@nexengine/protocol/nats";
import {
  defaultCacheDirectory,
  fetchNatsServer,
  findNatsServer,
  type NatsServer,
  startNatsServer,
} from "@nexengine/provision";
import type { Command } from "commander";
import { colors as pc } from "../colors.ts";
import { isolationBanner, untilEnded, version } from "../daemon.ts";
import type { GlobalOptions } from "../global-options.ts";
import { commandName } from "../hints.ts";
import { nexHome } from "../home.ts";
import { issuerKey } from "../key-files.ts";
import { connectionOf, namesServer } from "../login.ts";
import { createNodeLog } from "../node-log.ts";
import { port } from "../option-values.ts";
import { note, print } from "../output.ts";
import { claimPidFile } from "../pid-file.ts";
import {
  addSandboxOptions,
  driverOf,
  type SandboxOptions,
  sandboxOf,
  shortReason,
  stateOf,
} from "../sandbox.ts";
import { findRunningUp, removeUpState, writeUpState } from "../up-state.ts";

interface UpOptions extends GlobalOptions, SandboxOptions {
  config?: string;
  anyIssuer: boolean;
  port?: number;
}

const usualPort = 4222;

/** Adds the command. */
export function addUp(program: Command): void {
  const command = program
    .command("up")
    .description("start a NATS server and a node here, for your own workloads")
    .option("--config <file>", "configuration file of the node (JSON)")
    .option("--any-issuer", "accept workloads of every issuer, not only yours", false)
    .option("--port <n>", "port of the NATS server; 4222 if it is free, otherwise another one", port)
    .action(async (_: unknown, self: Command) => {
      await up(self.optsWithGlobals<UpOptions>());
    });
  addSandboxOptions(command);
}

async function up(options: UpOptions): Promise<void> {
  const running = findRunningUp();
  if (running !== undefined) {
    throw new NexError(
      "state_locked",
      `Cannot start: "nex up" runs already as process ${running.pid}, at ${running.url}`,
      {
        advice: "Use it, or end it with Ctrl-C in its terminal",
      },
    );
  }
  await using stack = new AsyncDisposableStack();
  const server = namesServer(options) ? undefined : stack.use(await startServer(options));
  const { login } = connectionOf(server === undefined ? options : { ...options, server: server.url });
  const url = login.servers?.join(",") ?? "";
  const { config, warnings } = await configOf(options);
  const nodeLog = stack.use(createNodeLog(options, options.loglevel === "info" ? "warn" : options.loglevel));
  for (const warning of warnings) nodeLog.log.warn(warning);
  if (config.pid_filepath !== undefined) stack.use(claimPidFile(config.pid_filepath));
  const probes: string[] = [];
  const node = stack.use(
    await startNode({
      login: { ...login, name: options.connName ?? "nex-up" },
      config,
      ...(options.nexus === undefined ? {} : { nexus: options.nexus }),
      ...stateOf(options),
      // Ctrl-C ends all that was started here.
      ephemeral: true,
      driver: driverOf(sandboxOf(options, config), config, {
        processAsLast: true,
        onProbe: (probe) => probes.push(shortReason(probe)),
      }),
      log: nodeLog.log,
      version: version(),
    }),
  );
  stack.defer(removeUpState);
  writeUpState({
    url,
    nodeId: node.id,
    ...(options.context === undefined || server !== undefined ? {} : { context: options.context }),
  });
  // Before anything is shown: whoever sees it may press Ctrl-C.
  const ended = untilEnded(node.ended, () => node.stop(), server && failureOf(server));
  greet((login.servers ?? []).map(withoutSecrets).join(","), node, probes);
  // Both at once: a Ctrl-C while the log still connects is obeyed too.
  await Promise.all([ended, nodeLog.publish(login, node.id)]);
  note("Ended; nothing is left running");
}

/** The failure of a server that has ended by itself. */
async function failureOf(server: NatsServer): Promise<NexError> {
  const { code, signal } = await server.exited;
  const how = signal === null ? `status ${code}` : `signal ${signal}`;
  return new NexError(
    "nats_server_failed",
    `The nats-server of "nex up" has ended (${how}), so the node ended too`,
    {
      advice: "Start it again; streams and objects are kept",
    },
  );
}

async function configOf(
  options: UpOptions,
): Promise<{ config: NodeConfigInput; warnings: readonly string[] }> {
  const file = options.config === undefined ? undefined : await readConfigFile(options.config);
  const { config, warnings }: { config: NodeConfigInput; warnings: readonly string[] } = file ?? {
    config: {},
    warnings: [],
  };
  if (options.anyIssuer || (config.valid_issuers?.length ?? 0) > 0) return { config, warnings };
  return { config: { ...config, valid_issuers: [issuerKey().publicKey] }, warnings };
}

async function startServer(options: UpOptions): Promise<NatsServer> {
  const cacheDirectory = defaultCacheDirectory();
  const binary =
    (await findNatsServer({ cacheDirectory, report: note })) ??
    (await fetchNatsServer({ cacheDirectory }, note));
  const storeDirectory = join(nexHome(), "jetstream");
  mkdirSync(storeDirectory, { recursive: true, mode: 0o700 });
  const start = (at: number): Promise<NatsServer> => startNatsServer({ binary, storeDirectory, port: at });
  if (options.port !== undefined) return start(options.port);
  try {
    return await start(usualPort);
  } catch (error) {
    if (!(error instanceof NexError) || error.code !== "nats_server_port_taken") throw error;
    note(`Port ${usualPort} is taken; the NATS server takes another one`);
    return await start(0);
  }
}

function greet(
  url: string,
  node: { id: string; tags: Readonly<Record<string, string>> },
  probes: readonly string[],
): void {
  const isolated = node.tags["nex.unsafe"] === undefined;
  if (!isolated) note(isolationBanner());
  print(`NATS     ${pc.bold(url)}`);
  print(`Node     ${node.id} (${node.tags["node_name"] ?? ""})`);
  print(`Sandbox  ${node.tags["nex.sandbox"] ?? ""}`);
  // Why nothing better; what to do about it says the preflight.
  const unavailable = isolated ? [] : probes.slice(0, -1);
  for (const reason of unavailable) note(pc.dim(`         not ${reason}`));
  if (unavailable.length > 0) note(pc.dim(`         see: ${commandName()} preflight`));
  print("");
  const nex = commandName();
  const hints = [
    [`${nex} devrun examples/echo/echo.js`, "deploy a function"],
    [`${nex} request default.echo hello`, "call it"],
    [`${nex} ps | logs | events`, "see what goes on"],
  ];
  print("In a second terminal:");
  for (const [command = "", what = ""] of hints) print(`  ${pc.bold(command.padEnd(40))} ${what}`);
  print("Ctrl-C here ends everything");
}
