/**
 * To which subjects a function's replies may go. They are sent with the rights of the connection on which the message
 * came, and the caller chose the subject: without a rule, a caller could publish with rights that are not its own.
 */
import { subjectsOverlap } from "@nexengine/protocol/internal";

/** Subjects that begin so are the server's business. */
const reserved = "$".charCodeAt(0);
/** First tokens of the inboxes that clients make, with or without a name of their own behind it. */
const inboxHead = "_INBOX";
/** First token of the inboxes that a NATS server makes where a service is imported by another account. */
const serverInbox = "_R_";
const dot = ".".charCodeAt(0);

/** What replies of a workload may go to. */
export interface ReplyRulesOptions {
  /** Is the connection the namespace's own, or the request's? Then its permissions hold, and any subject will do. */
  isOwnConnection: boolean;
  /** Inbox prefixes of the node's own logins. */
  inboxPrefixes: readonly string[];
  /** Subjects beside inboxes, as patterns. */
  allowed: readonly string[];
  /** Subjects that no reply goes to, as patterns. */
  denied: readonly string[];
}

export class ReplyRules {
  readonly #isOwnConnection: boolean;
  readonly #prefixes: readonly string[];
  readonly #allowed: readonly string[];
  readonly #denied: readonly string[];
  /** Whether a denied subject can be an inbox; hardly ever, so that most replies need no further look. */
  readonly #isInboxDenied: boolean;

  constructor({ isOwnConnection, inboxPrefixes, allowed, denied }: ReplyRulesOptions) {
    this.#isOwnConnection = isOwnConnection;
    this.#prefixes = inboxPrefixes.map((prefix) => `${prefix}.`);
    this.#allowed = allowed;
    this.#denied = denied;
    this.#isInboxDenied = denied.some((pattern) => /^[_*>]/.test(pattern));
  }

  /** May a reply go to the subject that stands in a buffer? */
  allows(bytes: Buffer, start: number, end: number): boolean {
    if (end <= start || bytes[start] === reserved) return false;
    const isInbox = startsWith(bytes, start, end, inboxHead) || isServerInbox(bytes, start, end);
    if (isInbox && !this.#isInboxDenied) return true;
    const subject = bytes.toString("latin1", start, end);
    if (this.#denied.some((pattern) => subjectsOverlap(pattern, subject))) return false;
    return (
      isInbox ||
      this.#isOwnConnection ||
      this.#prefixes.some((prefix) => subject.startsWith(prefix)) ||
      this.#allowed.some((pattern) => subjectsOverlap(pattern, subject))
    );
  }
}

function startsWith(bytes: Buffer, start: number, end: number, head: string): boolean {
  if (end - start < head.length) return false;
  for (let at = 0; at < head.length; at++) if (bytes[start + at] !== head.charCodeAt(at)) return false;
  return true;
}

function isServerInbox(bytes: Buffer, start: number, end: number): boolean {
  return startsWith(bytes, start, end, serverInbox) && bytes[start + serverInbox.length] === dot;
}
