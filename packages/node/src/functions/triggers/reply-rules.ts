/**
 * Rules for reply subjects. A reply is sent with the rights of the connection, to a subject that the caller chose. Without
 * rules, callers could publish with rights that are not theirs.
 */
import { subjectsOverlap } from "@nexengine/protocol/subjects";

/** Subjects with this first letter belong to the server. */
const reserved = "$".charCodeAt(0);
/** Start of the inboxes of clients. */
const inboxHead = "_INBOX";
/** First token of the inboxes that a server makes for imported services. */
const serverInbox = "_R_";
const dot = ".".charCodeAt(0);

/** Options for reply rules. */
export interface ReplyRulesOptions {
  /** Whether the connection is the namespace's or the request's own. Then any subject is allowed. */
  isOwnConnection: boolean;
  /** Inbox prefixes of the node's logins. */
  inboxPrefixes: readonly string[];
  /** Patterns of allowed subjects besides inboxes. */
  allowed: readonly string[];
  /** Patterns of denied subjects. */
  denied: readonly string[];
}

export class ReplyRules {
  readonly #isOwnConnection: boolean;
  readonly #prefixes: readonly string[];
  readonly #allowed: readonly string[];
  readonly #denied: readonly string[];
  /** Whether a denied pattern can match an inbox. Rarely true, so most replies need no further check. */
  readonly #isInboxDenied: boolean;

  constructor({ isOwnConnection, inboxPrefixes, allowed, denied }: ReplyRulesOptions) {
    this.#isOwnConnection = isOwnConnection;
    this.#prefixes = inboxPrefixes.map((prefix) => `${prefix}.`);
    this.#allowed = allowed;
    this.#denied = denied;
    this.#isInboxDenied = denied.some((pattern) => /^[_*>]/.test(pattern));
  }

  /** Whether a reply may go to the subject in this range of a buffer. */
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
