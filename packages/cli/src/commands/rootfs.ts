/** `nex rootfs`: the root file system of machines, built here without root and without a container engine. */
import { buildRootfsDirectory } from "@nexengine/machines";
import { defaultRootfsDirectory } from "@nexengine/node/internal";
import { type Command, Option } from "commander";
import { agentPath } from "../daemon.ts";
import { note, print, printJson } from "../output.ts";

interface RootfsOptions {
  output?: string;
  format: "dir";
  agent?: string;
  json: boolean;
}

/** Adds the command. */
export function addRootfs(program: Command): void {
  program
    .command("rootfs")
    .alias("fs")
    .description("build what machines start from: Node, the agent, and nothing else")
    .option(
      "-o, --output <dir>",
      "where trees are kept, each under its digest; the node's own place otherwise",
    )
    .addOption(new Option("--format <format>", "a directory, for containers").choices(["dir"]).default("dir"))
    .option("--agent <file>", "the agent's bundle; this command's own otherwise")
    .option("--json", "print the manifest as JSON", false)
    .action(async (options: RootfsOptions) => {
      await rootfs(options);
    });
}

async function rootfs(options: RootfsOptions): Promise<void> {
  const { directory, manifest, built } = await buildRootfsDirectory({
    output: options.output ?? defaultRootfsDirectory(),
    agentPath: options.agent ?? agentPath(),
  });
  if (options.json) {
    printJson({ directory, built, manifest });
    return;
  }
  const bytes = Object.values(manifest.files).reduce((sum, file) => sum + file.bytes, 0);
  const files = Object.keys(manifest.files).length;
  note(
    `${built ? "Built" : "Was there already:"} Node ${manifest.versions.node} (${manifest.versions.arch}), ${files} files, ${(bytes / 1e6).toFixed(1)} MB`,
  );
  print(directory);
}
