/** Users of a NATS server in operator mode: their permissions, and their credentials files. */

import { NexError } from "../errors.ts";
import { encodeClaims } from "../tokens/claims.ts";
import type { Signer } from "../tokens/keys.ts";

const nanosecondsPerMillisecond = 1_000_000;

/** Subjects that a user may publish and subscribe to; all others are denied. */
export interface NatsPermissions {
  publish: readonly string[];
  subscribe: readonly string[];
  /** Permission to publish to the reply subjects of received requests: maximum number of replies, and time limit. */
  responses?: { max: number; timeMs: number };
}

/** User to sign a JWT for. */
export interface NatsUser {
  /** Public key, `U…`. */
  publicKey: string;
  name: string;
  /** Public key of the account. Required only if another key of the account signs. */
  account?: string;
  permissions: NatsPermissions;
  /** Expiry, in Unix seconds. */
  expires?: number;
}

/** Signs a user JWT. */
export function signNatsUser(user: NatsUser, account: Signer, nowMs: number): string {
  const { publish, subscribe, responses } = user.permissions;
  const isSigningKey = user.account !== undefined && user.account !== account.publicKey;
  return encodeClaims(
    {
      subject: user.publicKey,
      name: user.name,
      issuedAt: Math.floor(nowMs / 1000),
      ...(user.expires === undefined ? {} : { expires: user.expires }),
      data: {
        type: "user",
        // An empty `allow` list would permit everything.
        pub: publish.length === 0 ? { deny: [">"] } : { allow: publish },
        sub: subscribe.length === 0 ? { deny: [">"] } : { allow: subscribe },
        ...(responses === undefined
          ? {}
          : { resp: { max: responses.max, ttl: responses.timeMs * nanosecondsPerMillisecond } }),
        ...(isSigningKey ? { issuer_account: user.account } : {}),
        subs: -1,
        data: -1,
        payload: -1,
      },
    },
    account,
  );
}

/** A user's JWT and the seed of its key. */
export interface NatsCredentials {
  jwt: string;
  seed: string;
}

/** Formats a credentials file. */
export function formatCredentials({ jwt, seed }: NatsCredentials): string {
  return `-----BEGIN NATS USER JWT-----
${jwt}
------END NATS USER JWT------

The seed below is a secret: whoever has it is this user.

-----BEGIN USER NKEY SEED-----
${seed}
------END USER NKEY SEED------
`;
}

/**
 * Parses a credentials file.
 *
 * @param what Names the file in errors. Errors never quote its content.
 * @throws NexError `key_invalid`
 */
export function parseCredentials(content: string, what = "the credentials"): NatsCredentials {
  const part = (name: string): string | undefined =>
    new RegExp(`-+BEGIN ${name}-+\\s*([^\\s-][^\\s]*)\\s*-+END ${name}-+`).exec(content)?.[1];
  const jwt = part("NATS USER JWT");
  const seed = part("USER NKEY SEED");
  if (jwt === undefined || seed === undefined) {
    throw new NexError(
      "key_invalid",
      `Cannot read ${what}: it is not a NATS credentials file with a user JWT and a seed`,
    );
  }
  return { jwt, seed };
}
