/** State that every request of a client needs. */
import type { NatsConnection } from "@nats-io/nats-core";

/** A connection, and how its user may use it. */
export interface Session {
  readonly connection: NatsConnection;
  /** One subject token. */
  readonly namespace: string;
  /** Where answers may come in; `_INBOX` when absent. The connection does not tell its own. */
  readonly inboxPrefix?: string | undefined;
  /** Public key of the nexus's owner: only nodes that it has endorsed are deployed to. */
  readonly endorser?: string | undefined;
  /** Name of the nexus: only nodes that belong to it are deployed to. */
  readonly nexus?: string | undefined;
  /** May tokens be legacy ones, and xkeys without a proof, where a node shows nothing of ours? */
  readonly allowGoNodes?: boolean | undefined;
  /** Told before a legacy token is sent. */
  readonly onFallback?: ((fallback: Fallback) => void) | undefined;
}

/** A request that goes to a node without our proofs, because the client allows Go nodes. */
export interface Fallback {
  action: "deploy" | "stop";
  /** The workload's name. */
  name: string;
  nodeId: string;
}
