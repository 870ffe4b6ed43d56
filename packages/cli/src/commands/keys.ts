/** `nex keys`: making keys, and with an owner's key the endorsements of nodes. */
import { createKey, signerOfSeed } from "@nexengine/protocol";
import { NexError } from "@nexengine/protocol/errors";
import { printable } from "@nexengine/protocol/subjects";
import { isPublicKey, signEndorsement } from "@nexengine/protocol/tokens";
import { Argument, type Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { readKeyFile, writeNewKey } from "../key-files.ts";
import { positive } from "../option-values.ts";
import { note, print } from "../output.ts";
import { addTenantCommand } from "./keys-tenant.ts";

const kinds = ["account", "curve", "operator", "user"] as const;
const daysDefault = 365;
const secondsPerDay = 86_400;

interface EndorseOptions extends GlobalOptions {
  key: string;
  days: number;
}

/** Adds the commands. */
export function addKeys(program: Command): void {
  const keys = program.command("keys").description("make keys, and endorse nodes");
  keys
    .command("new")
    .description(
      "make a key: account signs deploys, curve seals environments, operator endorses nodes and ends them, user logs in to NATS",
    )
    .addArgument(new Argument("<kind>", "which one").choices(kinds))
    .argument("[file]", "where its seed goes (0600); to the standard output without")
    .action((kind: (typeof kinds)[number], file: string | undefined) => {
      if (file !== undefined) {
        print(writeNewKey(file, kind));
        return;
      }
      const { publicKey, seed } = createKey(kind);
      note(`Public key: ${publicKey}`);
      print(seed);
    });
  keys
    .command("endorse")
    .description("sign that a node belongs to your nexus (--nexus); for its configuration, as endorsement")
    .argument("<node-id>", "the node's id (N…)")
    .requiredOption("--key <file>", "seed file of the owner's operator key")
    .option("--days <n>", "how long it holds", positive, daysDefault)
    .action((nodeId: string, _: unknown, self: Command) =>
      endorse(nodeId, self.optsWithGlobals<EndorseOptions>()),
    );
  addTenantCommand(keys);
}

function endorse(nodeId: string, { nexus, key, days }: EndorseOptions): void {
  if (nexus === undefined) {
    throw new NexError("usage", "Cannot endorse a node: its nexus is not named", {
      advice: "Name it as the node was given it: --nexus NAME",
    });
  }
  if (!isPublicKey(nodeId, "N")) {
    throw new NexError(
      "key_invalid",
      `Cannot endorse "${printable(nodeId)}": it is not the id of a node (N…)`,
      {
        advice: "See which nodes there are with: nex node ls",
      },
    );
  }
  const owner = signerOfSeed(readKeyFile(key, "the owner's key"), `the owner's key "${key}"`);
  const endorsement = signEndorsement({ nodeId, nexus }, owner, days * secondsPerDay, Date.now());
  note(
    `Put it into the node's configuration as "endorsement"; clients name the key: --endorser ${owner.publicKey}`,
  );
  print(endorsement);
}
