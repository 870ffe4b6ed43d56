/**
 * Contexts of the `nats` CLI: files that describe how to connect to a server. This module reads no file that a context
 * names.
 */
import { z } from "zod";
import { NexError } from "../errors.ts";
import type { NatsLogin } from "./login.ts";
import type { NatsTls } from "./tls.ts";

const text = z.string().default("");

export const natsContextSchema = z.object({
  description: text,
  /** Comma-separated URLs; empty means the default server. */
  url: text,
  token: text,
  user: text,
  password: text,
  /** Path of a credentials file. */
  creds: text,
  /** Path of a seed file. */
  nkey: text,
  user_jwt: text,
  /** Paths of PEM files. */
  cert: text,
  key: text,
  ca: text,
  tls_first: z.boolean().default(false),
  inbox_prefix: text,
  jetstream_domain: text,
  jetstream_api_prefix: text,
  nsc: text,
  socks_proxy: text,
});

/** A parsed context; an empty string means the member is not set. */
export type NatsContext = z.infer<typeof natsContextSchema>;

/** Unsupported members that would change the server or the identity, so they can't be ignored. */
const refused = ["nsc", "socks_proxy"] as const;

/** Name of an unsupported member that must not be ignored, if the context has one. */
export function refusedMember(context: NatsContext): string | undefined {
  return refused.find((key) => context[key] !== "");
}

/** Whether this can be a context's name. The name becomes part of a path. */
export function isContextName(name: string): boolean {
  return name !== "" && !name.includes("..") && !/[/\\\0]/.test(name);
}

/**
 * Parses a context file.
 *
 * @param name Name of the context, for errors. Errors never quote a value.
 * @throws NexError `config_invalid`
 */
export function parseNatsContext(content: string, name: string): NatsContext {
  const action = `Cannot use the NATS context "${name}"`;
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch {
    // The parser's message would quote the content, which holds secrets.
    throw new NexError("config_invalid", `${action}: it is not JSON`);
  }
  const parsed = natsContextSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join(".") || "the file";
    throw new NexError("config_invalid", `${action}: ${where}: ${issue?.message ?? "is not as expected"}`);
  }
  const member = refusedMember(parsed.data);
  if (member !== undefined) {
    throw new NexError("config_invalid", `${action}: this version does not support its "${member}"`, {
      advice: "Create a context without it, or pass --server and the login as options",
    });
  }
  return parsed.data;
}

/** Reads a file that a context names; `what` describes the file in errors. */
export type ReadNamedFile = (path: string, what: string, content: "secret" | "public") => string;

/** Splits a comma-separated list of URLs. */
export function splitUrls(urls: string): string[] {
  return urls.split(",").flatMap((url) => url.trim() || []);
}

/**
 * Login of a context. The precedence is that of Go Nex: user, then credentials, then nkey. A token is sent in addition.
 */
export function loginOfContext(context: NatsContext, read: ReadNamedFile): NatsLogin {
  const { user, password, creds, nkey, token, user_jwt: userJwt } = context;
  const chosen: NatsLogin =
    user !== ""
      ? { user, password }
      : creds !== ""
        ? { credentials: read(creds, "the context's credentials file", "secret") }
        : {
            ...(nkey === "" ? {} : { nkeySeed: read(nkey, "the context's nkey file", "secret") }),
            ...(userJwt === "" ? {} : { userJwt }),
          };
  return { ...chosen, ...(token === "" ? {} : { token }) };
}

/** TLS options of a context, if it has any. */
export function tlsOfContext(
  { cert, key, ca, tls_first: first }: Pick<NatsContext, "cert" | "key" | "ca" | "tls_first">,
  read: ReadNamedFile,
): NatsTls | undefined {
  if (cert === "" && key === "" && ca === "" && !first) return undefined;
  return {
    ...(cert === "" ? {} : { cert: read(cert, "the TLS certificate", "public") }),
    ...(key === "" ? {} : { key: read(key, "the TLS key", "secret") }),
    ...(ca === "" ? {} : { ca: read(ca, "the certificate authority", "public") }),
    ...(first ? { first } : {}),
  };
}
