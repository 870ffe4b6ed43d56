/** `nex node up | ls | info`. */
import { createDriver, readConfigFile, startNode } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/internal";
import { type Command, Option } from "commander";
import { agentPath, isolationBanner, untilEnded, version } from "../daemon.ts";
import { type GlobalOptions, loginOf, withClient } from "../global-options.ts";
import { createLogger } from "../log-format.ts";
import { note, print, printJson, printTable, shortId } from "../output.ts";

interface NodeUpOptions extends GlobalOptions {
  config?: string;
  nexus: string;
  sandbox?: string;
}

/** Adds the commands. */
export function addNode(program: Command): void {
  const node = program.command("node").alias("nodes").description("start nodes, and see which there are");
  node
    .command("up")
    .description("start a node that joins the nexus of a NATS server")
    .option("--config <file>", "configuration file (JSON)")
    .option("--nexus <name>", "name of the nexus", "nexus")
    .addOption(new Option("--sandbox <kind>", "what keeps workloads apart").choices(["auto", "process"]))
    .action(async (_: unknown, self: Command) => {
      await nodeUp(self.optsWithGlobals<NodeUpOptions>());
    });
  node
    .command("ls")
    .description("list the nodes")
    .option("--full", "with all columns", false)
    .option("--json", "print them as JSON", false)
    .action(async (_: unknown, self: Command) => {
      await list(self.optsWithGlobals<GlobalOptions & { full: boolean; json: boolean }>());
    });
  node
    .command("info")
    .description("show one node, and the namespace's workloads on it")
    .argument("<id>", "the node's id or name")
    .option("--json", "print it as JSON", false)
    .action(async (id: string, _: unknown, self: Command) => {
      await info(id, self.optsWithGlobals<GlobalOptions & { json: boolean }>());
    });
}

async function nodeUp(options: NodeUpOptions): Promise<void> {
  const file = options.config === undefined ? undefined : await readConfigFile(options.config);
  const sandbox = sandboxOf(options, file?.config);
  const log = createLogger(options.loglevel, options.logjson);
  for (const key of file?.unknown ?? []) log.warn({ key }, "configuration key is not acted on");
  const node = await startNode({
    login: loginOf(options),
    nexus: options.nexus,
    config: file?.config ?? {},
    driver: createDriver(sandbox, { agentPath: agentPath() }),
    log,
    version: version(),
  });
  if (sandbox === "process") note(isolationBanner());
  await untilEnded(node.ended, () => node.stop());
}

/** A node never takes a weaker sandbox than it was told. */
function sandboxOf(
  options: NodeUpOptions,
  config: { sandbox?: string | undefined; no_sandbox?: boolean | undefined } = {},
): string {
  const asked = options.sandbox ?? config.sandbox;
  if (config.no_sandbox === true && asked !== undefined && asked !== "process") {
    throw new NexError(
      "config_invalid",
      `Cannot start a node: no_sandbox and sandbox "${asked}" contradict each other`,
    );
  }
  if (config.no_sandbox === true || asked === "process") return "process";
  throw new NexError(
    "sandbox_unavailable",
    `Cannot start a node: no isolating sandbox is there yet (asked for "${asked ?? "auto"}")`,
    {
      advice: "Run workloads that you trust without isolation by: --sandbox process",
    },
  );
}

async function list(options: GlobalOptions & { full: boolean; json: boolean }): Promise<void> {
  await withClient(options, async (client) => {
    const nodes = await client.nodes({ timeoutMs: options.timeout });
    const nameOf = (tags: Record<string, string> | undefined): string => tags?.["node_name"] ?? "no-name";
    nodes.sort((a, b) => nameOf(a.tags).localeCompare(nameOf(b.tags)) || a.node_id.localeCompare(b.node_id));
    if (options.json) {
      printJson(nodes);
      return;
    }
    const columns = ["Id (* = lame duck)", "Name", "Version", "Workloads"];
    const more = options.full ? ["Nexus", "Uptime", "Sandbox", "OS", "Arch"] : [];
    printTable(
      [...columns, ...more],
      nodes.map((node) => {
        const tags = node.tags ?? {};
        const id = options.full ? node.node_id : shortId(node.node_id);
        const row = [
          `${id}${tags["nex.lameduck"] === "true" ? " *" : ""}`,
          nameOf(tags),
          node.version,
          String(node.running_machines),
        ];
        const sandbox = tags["nex.sandbox"] ?? (tags["nex.unsafe"] === "true" ? "process" : "yes");
        return options.full
          ? [...row, node.nexus ?? "", node.uptime, sandbox, tags["nex.os"] ?? "", tags["nex.arch"] ?? ""]
          : row;
      }),
      "No nodes discovered",
    );
  });
}

async function info(idOrName: string, options: GlobalOptions & { json: boolean }): Promise<void> {
  await withClient(options, async (client) => {
    const id = /^N[A-Z2-7]{55}$/.test(idOrName)
      ? idOrName
      : await idOfName(idOrName, client.nodes({ timeoutMs: options.timeout }));
    const node = await client.info(id, options.timeout);
    if (options.json) {
      printJson(node);
      return;
    }
    const tags = Object.entries(node.tags ?? {}).map(([name, value]) => `${name}=${value}`);
    print(
      `Node      ${id}\nXkey      ${node.public_xkey}\nVersion   ${node.version}\nUptime    ${node.uptime}`,
    );
    print(`Types     ${(node.supported_workload_types ?? []).join(", ")}\nTags      ${tags.join(", ")}`);
    if (node.memory !== undefined) {
      const { total, free, available } = node.memory;
      print(
        `Memory    ${mebibytes(total)} total, ${mebibytes(free)} free, ${mebibytes(available)} available`,
      );
    }
    printTable(
      ["", "Id", "Name", "Type", "Uptime", "Run time", "Description"],
      node.machines.map(({ id: workloadId, healthy, uptime, workload }) => [
        healthy ? "🟢" : "🔴",
        workloadId,
        workload.name,
        workload.type,
        uptime,
        workload.runtime,
        workload.description ?? "",
      ]),
      `No workloads of namespace "${options.namespace}" run on it`,
    );
  });
}

async function idOfName(
  name: string,
  nodes: Promise<{ node_id: string; tags?: Record<string, string> | undefined }[]>,
): Promise<string> {
  const found = (await nodes).filter(
    (node) => node.tags?.["node_name"] === name || node.node_id.startsWith(name),
  );
  const [first] = found;
  if (first !== undefined && found.length === 1) return first.node_id;
  const state =
    found.length === 0 ? "there is no node of this id or name" : `${found.length} nodes have this name`;
  throw new NexError(
    found.length === 0 ? "node_not_found" : "ambiguous_name",
    `Cannot show node "${name}": ${state}`,
    {
      advice: "See which nodes there are with: nex node ls --full",
    },
  );
}

function mebibytes(kilobytes: number): string {
  return `${Math.round(kilobytes / 1024).toLocaleString("en")} MiB`;
}
