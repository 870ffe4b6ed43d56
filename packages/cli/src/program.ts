/** The whole command line. */
import { exitStatus } from "@nexengine/protocol/errors";
import { Command, CommanderError } from "commander";
import { addCompletion } from "./commands/completion.ts";
import { addDead } from "./commands/dead.ts";
import { addDevrun } from "./commands/devrun.ts";
import { addEvents } from "./commands/events.ts";
import { addKeys } from "./commands/keys.ts";
import { addLameDuck } from "./commands/lameduck.ts";
import { addLogs } from "./commands/logs.ts";
import { addMove } from "./commands/move.ts";
import { addNode } from "./commands/node.ts";
import { addPreflight } from "./commands/preflight.ts";
import { addPs } from "./commands/ps.ts";
import { addRequest } from "./commands/request.ts";
import { addRootfs } from "./commands/rootfs.ts";
import { addRun } from "./commands/run.ts";
import { addStop } from "./commands/stop.ts";
import { addTrigger } from "./commands/trigger.ts";
import { addUp } from "./commands/up.ts";
import { version } from "./daemon.ts";
import { addGlobalOptions } from "./global-options.ts";
import { dropUnsetVariables } from "./option-values.ts";
import { reportError } from "./output.ts";

/** Builds the command line. */
export function createProgram(): Command {
  const program = new Command("nex")
    .description("Run services and functions beside NATS")
    .version(version())
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ showGlobalOptions: false });
  addGlobalOptions(program);
  addUp(program);
  addDevrun(program);
  addRun(program);
  addMove(program);
  addRequest(program);
  addPs(program);
  addStop(program);
  addLogs(program);
  addEvents(program);
  addTrigger(program);
  addDead(program);
  addNode(program);
  addLameDuck(program);
  addPreflight(program);
  addRootfs(program);
  addKeys(program);
  addCompletion(program);
  for (const command of program.commands) inheritOverride(command);
  return program;
}

function inheritOverride(command: Command): void {
  command.exitOverride().showSuggestionAfterError();
  for (const child of command.commands) inheritOverride(child);
}

/**
 * Runs a command line.
 *
 * @param args What follows the program's name.
 * @returns the exit status.
 */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  try {
    const program = createProgram();
    dropUnsetVariables(program, process.env);
    await program.parseAsync([...args], { from: "user" });
    return exitStatus.ok;
  } catch (error) {
    // Commander has printed what was wrong, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.ok : exitStatus.usage;
    return reportError(error);
  }
}
