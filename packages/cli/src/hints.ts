/** Commands to type next, which reach what the present command has reached. */
import { accessSync, constants, existsSync, realpathSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { withoutSecrets } from "@nexengine/protocol/nats";
import { defaultNamespace } from "@nexengine/protocol/subjects";
import type { GlobalOptions } from "./global-options.ts";
import { visible } from "./output.ts";

const root = join(import.meta.dirname, "..");

/** How this command is called: in a checkout by its path, unless the PATH has it. */
export function commandName(): string {
  if (!existsSync(join(root, "packages/cli/package.json"))) return "nex";
  const script = join(root, "nex");
  if (onPath("nex") === realPath(script)) return "nex";
  return resolve(".") === root ? "./nex" : shellQuoted(script);
}

function onPath(name: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    if (folder === "") continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return realPath(path);
    } catch {
      // The next one, then.
    }
  }
  return undefined;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** A word as a shell takes it for itself. */
export function shellQuoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * A command to type next: quoted, with the options by which this one found its server and namespace. What comes from the
 * environment is there the next time, too. Secrets are left out. Words may come from a node, so the text is made visible.
 */
export function hint(options: GlobalOptions, ...words: readonly string[]): string {
  const env = (name: string): string | undefined => process.env[name] || undefined;
  const given: (readonly [flag: string, value: string | undefined, variable: string])[] = [
    ["--namespace", options.namespace === defaultNamespace ? undefined : options.namespace, "NEX_NAMESPACE"],
    ["-s", options.server, "NATS_URL"],
    ["--context", options.context, "NATS_CONTEXT"],
    ["--creds", options.creds, "NATS_CREDS"],
    ["--nkey", options.nkey, "NATS_NKEY"],
    ["--tlsca", options.tlsca, "NATS_CA"],
    ["--tlscert", options.tlscert, "NATS_CERT"],
    ["--tlskey", options.tlskey, "NATS_KEY"],
  ];
  const carried = given.flatMap(([flag, value, variable]) =>
    value === undefined || value === env(variable) ? [] : [flag, shellQuoted(withoutSecrets(value))],
  );
  return visible([commandName(), ...words.map(shellQuoted), ...carried].join(" "));
}

/** A subject that can be called: an example in the place of each wildcard. */
export function callableSubject(subject: string): string {
  return subject
    .split(".")
    .map((token) => (token === "*" || token === ">" ? "example" : token))
    .join(".");
}
