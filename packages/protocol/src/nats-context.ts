/** Contexts of the NATS command line: files that say how to reach a server. This reads their content only. */
import { z } from "zod";
import { NexError } from "./errors.ts";

const text = z.string().default("");

const contextSchema = z.object({
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
export type NatsContext = z.infer<typeof contextSchema>;

/** Members that would change whom we reach, or as whom, and that we do not act on. */
const refused = ["nsc", "socks_proxy"] as const;

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
  const parsed = contextSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join(".") || "the file";
    throw new NexError("config_invalid", `${action}: ${where}: ${issue?.message ?? "is not as expected"}`);
  }
  const member = refused.find((key) => parsed.data[key] !== "");
  if (member !== undefined) {
    throw new NexError("config_invalid", `${action}: this version does not act on its "${member}"`, {
      advice: "Make a context without it, or give --server and the login as options",
    });
  }
  return parsed.data;
}
