/** `nex keys new account|curve`. */
import { createKey } from "@nexengine/protocol";
import { Argument, type Command } from "commander";
import { writeNewKey } from "../key-files.ts";
import { note, print } from "../output.ts";

/** Adds the commands. */
export function addKeys(program: Command): void {
  const keys = program.command("keys").description("make keys");
  keys
    .command("new")
    .description("make a key: account signs deploys, curve seals environments")
    .addArgument(new Argument("<kind>", "which one").choices(["account", "curve"]))
    .argument("[file]", "where its seed goes (0600); to the standard output without")
    .action((kind: "account" | "curve", file: string | undefined) => {
      if (file !== undefined) {
        print(writeNewKey(file, kind));
        return;
      }
      const { publicKey, seed } = createKey(kind);
      note(`Public key: ${publicKey}`);
      print(seed);
    });
}
