/** Options of connections that a function brings along. What is secret comes from files: others can see arguments. */
import { readFileSync } from "node:fs";
import type { WorkloadConnection } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { loginInUrl, parseCredentials } from "@nexengine/protocol/nats";
import type { Command } from "commander";
import { readKeyFile, warnIfOthersRead } from "./key-files.ts";

const kinds = { hs: "host services", trigger: "triggers" } as const;
type Kind = keyof typeof kinds;

/** The options as commander gives them. */
export type ConnectionOptions = Partial<Record<`${Kind}_${"url" | "creds" | "jwt" | "seed"}`, string>>;

/** Adds the options to a command. */
export function addConnectionOptions(command: Command): void {
  for (const [kind, purpose] of Object.entries(kinds)) {
    command
      .option(
        `--${kind}_url <url>`,
        `server of the function's own connection for ${purpose}; the node's without`,
      )
      .option(`--${kind}_creds <file>`, "credentials file of that connection")
      .option(`--${kind}_jwt <file>`, "or a file with the user's JWT")
      .option(`--${kind}_seed <file>`, "and a file with the user's seed");
  }
}

/**
 * The connection that the options mean.
 *
 * @throws NexError `usage`, `file_not_found`, `key_invalid`
 */
export function connectionOf(kind: Kind, options: ConnectionOptions): WorkloadConnection | undefined {
  const url = options[`${kind}_url`];
  const creds = options[`${kind}_creds`];
  const jwt = options[`${kind}_jwt`];
  const seed = options[`${kind}_seed`];
  if (url !== undefined && loginInUrl(url) !== undefined) {
    throw new NexError(
      "usage",
      `Cannot take a login from --${kind}_url: others on this host can see it in the list of processes`,
      { advice: `Give it by --${kind}_creds FILE` },
    );
  }
  if (creds !== undefined && (jwt ?? seed) !== undefined) {
    throw new NexError("usage", `Cannot use --${kind}_creds together with --${kind}_jwt or --${kind}_seed`);
  }
  const login =
    creds === undefined
      ? {
          ...(jwt === undefined ? {} : { jwt: readSecret(jwt, `--${kind}_jwt`) }),
          ...(seed === undefined ? {} : { seed: readSecret(seed, `--${kind}_seed`) }),
        }
      : parseCredentials(readKeyFile(creds, "the credentials file"), `the credentials file "${creds}"`);
  if (url === undefined && Object.keys(login).length === 0) return undefined;
  return { ...(url === undefined ? {} : { url }), ...login };
}

/** A secret itself, as the Go Nex command line takes it, is refused; what is given is not shown, it may be one. */
function readSecret(path: string, option: string): string {
  if (/^(?:eyJ|S[A-Z2-7]{57}$)/.test(path)) {
    throw new NexError(
      "usage",
      `Cannot take the value of ${option}: others on this host can see it in the list of processes`,
      { advice: `Put it into a file, and give that: ${option} FILE` },
    );
  }
  let secret: string;
  try {
    secret = readFileSync(path, "utf8").trim();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : "unreadable";
    throw new NexError("file_not_found", `Cannot read the file that ${option} names: ${code}`);
  }
  // A JWT is of no use without its seed.
  if (option.endsWith("_seed")) warnIfOthersRead(path, `the file of ${option}`);
  return secret;
}
