/** `nex node upgrade`: hands a running node to this program, without a gap. */
import { readState } from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/errors";
import type { Command } from "commander";
import { version } from "../daemon.ts";
import type { GlobalOptions } from "../global-options.ts";
import { print } from "../output.ts";
import { isAlive } from "../processes.ts";
import { askForSuccessor } from "../upgrade/upgrade-socket.ts";
import { stateDirectories } from "./node-state.ts";

interface UpgradeOptions extends GlobalOptions {
  stateDirectory?: string;
}

/** Adds the command. */
export function addNodeUpgrade(node: Command): void {
  node
    .command("upgrade")
    .description(
      "let this version of nex continue a node that runs on this host: its workloads go over while they are called, and its configuration is read again",
    )
    .option("--state-directory <dir>", "the node's directory, where more than one node runs")
    .action(async (_: unknown, self: Command) => {
      const directory = await directoryOf(self.optsWithGlobals<UpgradeOptions>());
      const pid = await askForSuccessor(directory, [
        process.execPath,
        ...process.execArgv,
        process.argv[1] ?? "",
      ]);
      print(`The node in ${directory} goes on in process ${pid} (nex ${version()})`);
    });
}

/** The directory of the node that runs here. @throws NexError `node_not_found`, `usage` */
async function directoryOf(options: UpgradeOptions): Promise<string> {
  if (options.stateDirectory !== undefined) return options.stateDirectory;
  const reports = await Promise.all((await stateDirectories(options)).map(readState));
  const running = reports.filter(({ pid }) => pid !== undefined && isAlive(pid));
  const [only, ...others] = running;
  if (only === undefined) {
    throw new NexError("node_not_found", "No node of this user runs on this host", {
      advice: "Name the directory of one with: --state-directory DIR",
    });
  }
  if (others.length === 0) return only.directory;
  const names = running.map(({ directory }) => directory).join(", ");
  throw new NexError("usage", `Several nodes run on this host: ${names}`, {
    advice: "Name the directory of one with: --state-directory DIR",
  });
}
