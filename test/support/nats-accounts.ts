/** A nats-server whose accounts and users are JWTs, as `nsc` makes them. */
import { createKey, type Signer, signerOfSeed } from "@nexengine/protocol";
import { type NatsPermissions, signNatsUser } from "@nexengine/protocol/nats";
import { encodeClaims } from "@nexengine/protocol/tokens";

const unlimited = {
  subs: -1,
  conn: -1,
  leaf: -1,
  imports: -1,
  exports: -1,
  data: -1,
  payload: -1,
  wildcards: true,
};
const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

/** A user's login. */
export interface TestUser {
  publicKey: string;
  jwt: string;
  seed: string;
}

/** Exports and imports of an account, as they stand in its JWT. */
export interface AccountClaims {
  exports?: object[];
  imports?: object[];
  /** Public keys that may sign for its users too. */
  signingKeys?: string[];
}

/** An account that signs for its users. */
export class TestAccount {
  readonly name: string;
  readonly seed = createKey("account").seed;
  readonly key: Signer = signerOfSeed(this.seed);

  constructor(name: string) {
    this.name = name;
  }

  /** Without permissions: one that may do everything in its account. */
  user(name = "user", permissions: NatsPermissions = { publish: [">"], subscribe: [">"] }): TestUser {
    const { publicKey, seed } = createKey("user");
    return { publicKey, seed, jwt: signNatsUser({ publicKey, name, permissions }, this.key, Date.now()) };
  }

  claims(operator: Signer, { exports, imports, signingKeys }: AccountClaims, withStorage: boolean): string {
    return encodeClaims(
      {
        subject: this.key.publicKey,
        name: this.name,
        issuedAt: Math.floor(Date.now() / 1000),
        data: {
          type: "account",
          limits: { ...unlimited, ...(withStorage ? storage : {}) },
          ...(exports === undefined ? {} : { exports }),
          ...(imports === undefined ? {} : { imports }),
          ...(signingKeys === undefined ? {} : { signing_keys: signingKeys }),
        },
      },
      operator,
    );
  }
}

/** The server's configuration for accounts, with what each gives and takes. */
export function accountsConfig(accounts: readonly (readonly [TestAccount, AccountClaims])[]): string {
  const operator = signerOfSeed(createKey("operator").seed);
  const system = new TestAccount("SYS");
  const issuedAt = Math.floor(Date.now() / 1000);
  const operatorToken = encodeClaims(
    { subject: operator.publicKey, name: "test", issuedAt, data: { type: "operator" } },
    operator,
  );
  const tokens = [
    `  ${system.key.publicKey}: ${system.claims(operator, {}, false)}`,
    ...accounts.map(
      ([account, claims]) => `  ${account.key.publicKey}: ${account.claims(operator, claims, true)}`,
    ),
  ];
  return [
    `operator: ${operatorToken}`,
    `system_account: ${system.key.publicKey}`,
    "resolver: MEMORY",
    "resolver_preload: {",
    ...tokens,
    "}",
  ].join("\n");
}
