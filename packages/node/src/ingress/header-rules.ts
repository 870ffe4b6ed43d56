/** Which headers pass between HTTP and NATS. */

/** Headers that concern one connection only, those that a listener writes itself, and the length, which HTTP frames anew. */
const dropped: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Names that a `Connection` header declares to concern the connection only. */
export function connectionNames(value: string): string[] {
  return value
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/**
 * Whether a header passes. Headers of NATS steer streams and schedules, and ours tell what a listener has found out, so
 * nobody outside may set them.
 *
 * @param name In lower case.
 */
export function passes(name: string): boolean {
  return !dropped.has(name) && !name.startsWith("nats-") && !name.startsWith("nex-");
}

/** JavaScript text as the characters of its UTF-8 bytes, as headers are written. */
export function asLatin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}
