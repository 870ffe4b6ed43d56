/** `nex keys tenant`: credentials for NATS that permit what one role needs, and no more. */
import { createKey, signerOfSeed } from "@nexengine/protocol";
import { NexError } from "@nexengine/protocol/errors";
import {
  formatCredentials,
  type NatsRole,
  natsPermissions,
  natsRoles,
  signNatsUser,
} from "@nexengine/protocol/nats";
import { assertNamespace, isSubscribableSubject, printable } from "@nexengine/protocol/subjects";
import { isPublicKey } from "@nexengine/protocol/tokens";
import { type Command, Option } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { readKeyFile, writeSecretFile } from "../key-files.ts";
import { collect, positive } from "../option-values.ts";
import { note, print } from "../output.ts";

const secondsPerDay = 86_400;
const msPerSecond = 1_000;

interface TenantOptions extends GlobalOptions {
  key: string;
  account?: string;
  role: NatsRole;
  nodeId?: string;
  subject: string[];
  stream: string[];
  history: string[];
  kv: string[];
  object: string[];
  inboxPrefix: string;
  days?: number;
}

/** Adds the command. */
export function addTenantCommand(keys: Command): void {
  keys
    .command("tenant")
    .description("make NATS credentials for one role in a namespace, where the server's accounts are JWTs")
    .argument("<file>", "where they go (0600)")
    .requiredOption("--key <file>", "seed file of the account's key, or of one of its signing keys")
    .option("--account <key>", "the account's public key (A…), with a signing key of it")
    .addOption(new Option("--role <role>", "what they are for").choices(natsRoles).default("issuer"))
    .option("--node-id <id>", "of a node: its id, so that it can pass for no other")
    .option(
      "--subject <subject>",
      "where functions have triggers; <namespace>.> without; repeatable",
      collect,
      [],
    )
    .option("--stream <name>", "of workloads: stream of a trigger; repeatable", collect, [])
    .option("--kv <bucket>", "of workloads: key-value bucket of a trigger; repeatable", collect, [])
    .option("--object <bucket>", "of workloads: object store of a trigger; repeatable", collect, [])
    .option("--history <namespace>", "of a node: a namespace whose history it keeps; repeatable", collect, [])
    .option("--inbox-prefix <prefix>", "where answers come in, if not at _INBOX", "_INBOX")
    .option("--days <n>", "how long they hold; for ever without", positive)
    .action((file: string, _: unknown, self: Command) =>
      makeTenant(file, self.optsWithGlobals<TenantOptions>()),
    );
}

function makeTenant(file: string, options: TenantOptions): void {
  const { key, account, role, namespace, nodeId, inboxPrefix, days } = options;
  assertNamespace(namespace);
  const subjects = options.subject.length === 0 ? [`${namespace}.>`] : options.subject;
  const bad = [...subjects, inboxPrefix].find(
    (subject) => !isSubscribableSubject(subject) || /^\$/.test(subject),
  );
  if (bad !== undefined) {
    throw new NexError(
      "usage",
      `Cannot permit "${printable(bad)}": it is not a NATS subject that is free for use`,
    );
  }
  const signer = signerOfSeed(readKeyFile(key, "the account's key"), `the account's key "${key}"`);
  checkKey("--key", signer.publicKey, "A", "an account");
  if (account !== undefined) checkKey("--account", account, "A", "an account");
  if (nodeId !== undefined) checkKey("--node-id", nodeId, "N", "a node");
  const { publicKey, seed } = createKey("user");
  const nowMs = Date.now();
  const jwt = signNatsUser(
    {
      publicKey,
      name: role === "node" || role === "operator" ? role : `${namespace}-${role}`,
      ...(account === undefined ? {} : { account }),
      permissions: natsPermissions(role, {
        namespace,
        subjects,
        streams: streamsOf(options),
        history: historyOf(options),
        inboxPrefix,
        ...(nodeId === undefined ? {} : { nodeId }),
      }),
      ...(days === undefined ? {} : { expires: Math.floor(nowMs / msPerSecond) + days * secondsPerDay }),
    },
    signer,
    nowMs,
  );
  writeSecretFile(file, formatCredentials({ jwt, seed }), "the credentials");
  note(`Wrote credentials of the user below to ${file}`);
  print(publicKey);
}

/** @throws NexError `usage` */
function streamsOf({ stream, kv, object, role }: TenantOptions): string[] {
  const streams = [
    ...stream,
    ...kv.map((bucket) => `KV_${bucket}`),
    ...object.map((bucket) => `OBJ_${bucket}`),
  ];
  const bad = streams.find((name) => !/^[A-Za-z0-9_-]+$/.test(name));
  if (bad !== undefined)
    throw new NexError(
      "usage",
      `Cannot permit "${printable(bad)}": it is not the name of a stream or bucket`,
    );
  if (streams.length > 0 && role !== "workloads") {
    throw new NexError("usage", `Cannot permit streams of triggers to the role ${role}`, {
      advice: "Only the user by whom a node acts takes messages: --role workloads",
    });
  }
  return streams;
}

/** @throws NexError `usage`, `namespace_invalid` */
function historyOf({ history, role }: TenantOptions): string[] {
  for (const namespace of history) assertNamespace(namespace);
  if (history.length > 0 && role !== "node") {
    throw new NexError("usage", `Cannot permit the role ${role} to keep a history`, {
      advice: "Nodes keep it: --role node",
    });
  }
  return history;
}

function checkKey(option: string, key: string, prefix: string, what: string): void {
  if (isPublicKey(key, prefix)) return;
  throw new NexError(
    "key_invalid",
    `Cannot use ${option} "${printable(key)}": it is not the key of ${what} (${prefix}…)`,
  );
}
