/** `nex completion`: a script that makes a shell complete command lines of `nex`. */
import { Argument, type Command } from "commander";
import { candidates } from "../completion.ts";
import { candidateLine, completionScripts, type Shell, shells } from "../completion-scripts.ts";
import { print } from "../output.ts";

/** Adds the command. */
export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a script that makes a shell complete command lines of nex")
    .addArgument(new Argument("<shell>", "which one").choices(shells))
    .argument("[words...]", "what is typed so far, as the script gives it; what can follow is printed then")
    .action((shell: Shell, words: string[]) => {
      if (words.length === 0) process.stdout.write(completionScripts[shell]);
      for (const { word, description } of words.length === 0 ? [] : candidates(program, words)) {
        print(candidateLine(shell, word, description));
      }
    });
}
