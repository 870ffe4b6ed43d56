/** Contexts of the NATS command line: files that say how to reach a server. This reads no file that they name. */
import { z } from "zod";
import { NexError } from "./errors.ts";
import type { NatsLogin } from "./nats-login.ts";
import type { NatsTls } from "./nats-tls.ts";

const text = z.string().default("");

export const natsContextSchema = z.object({
  description: text,
  /** Several with commas; empty is the usual address. */
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

/** What a context says; an empty text is nothing. */
export type NatsContext = z.infer<typeof natsContextSchema>;

/** Members that would change whom we reach, or as whom, and that we do not act on. */
const refused = ["nsc", "socks_proxy"] as const;

/** The member of a context that this version does not act on, and must not pass over. */
export function refusedMember(context: NatsContext): string | undefined {
  return refused.find((key) => context[key] !== "");
}

/** Can this be a context's name? It becomes part of a path. */
export function isContextName(name: string): boolean {
  return name !== "" && !name.includes("..") && !/[/\\\0]/.test(name);
}

/**
 * Reads the content of a context file.
 *
 * @param name The context's name, for errors; these never show a value.
 * @throws NexError `config_invalid`
 */
export function parseNatsContext(content: string, name: string): NatsContext {
  const action = `Cannot use the NATS context "${name}"`;
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch {
    // What the parser says would quote the content, and that holds secrets.
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
    throw new NexError("config_invalid", `${action}: this version does not act on its "${member}"`, {
      advice: "Make a context without it, or give --server and the login as options",
    });
  }
  return parsed.data;
}

/** Gives the content of a file that a context names; `what` is for errors. */
export type ReadNamedFile = (path: string, what: string) => string;

/** The URLs of a list with commas. */
export function splitUrls(urls: string): string[] {
  return urls.split(",").flatMap((url) => url.trim() || []);
}

/** Whom a context logs in as. The reference's choice: user, else credentials, else nkey, and a token beside. */
export function loginOfContext(context: NatsContext, read: ReadNamedFile): NatsLogin {
  const { user, password, creds, nkey, token, user_jwt: userJwt } = context;
  const chosen: NatsLogin =
    user !== ""
      ? { user, password }
      : creds !== ""
        ? { credentials: read(creds, "the context's credentials file") }
        : {
            ...(nkey === "" ? {} : { nkeySeed: read(nkey, "the context's nkey file") }),
            ...(userJwt === "" ? {} : { userJwt }),
          };
  return { ...chosen, ...(token === "" ? {} : { token }) };
}

/** The TLS of a context, where it says anything of it. */
export function tlsOfContext(
  { cert, key, ca, tls_first: first }: Pick<NatsContext, "cert" | "key" | "ca" | "tls_first">,
  read: ReadNamedFile,
): NatsTls | undefined {
  if (cert === "" && key === "" && ca === "" && !first) return undefined;
  return {
    ...(cert === "" ? {} : { cert: read(cert, "the TLS certificate") }),
    ...(key === "" ? {} : { key: read(key, "the TLS key") }),
    ...(ca === "" ? {} : { ca: read(ca, "the certificate authority") }),
    ...(first ? { first } : {}),
  };
}
