/** Statuses that a server sends for pulls: headers without a payload. Source: ADR-37 of NATS, and tried servers. */

/**
 * - `heartbeat`: the pull is open, and there are no messages.
 * - `over`: the pull has ended; `pending` of its messages have not come.
 * - `moved`: another server leads the consumer. Open pulls are gone.
 * - `crowded`: too many pulls are open, of all pullers together.
 * - `absent`: nobody leads the consumer, or it does not exist.
 * - `refused`: the consumer is gone, or takes no such pull.
 */
export interface PullStatus {
  type: "heartbeat" | "over" | "moved" | "crowded" | "absent" | "refused";
  text: string;
  pending?: number;
}

const statusLine = /^NATS\/1\.0 (\d{3}) ?([^\r\n]*)/;
const pendingLine = /\r\nNats-Pending-Messages: ?(\d{1,10})/i;

/** Parses the header block of a status. */
export function parseStatus(block: string): PullStatus {
  const [, code = "", text = ""] = statusLine.exec(block) ?? [];
  const pending = pendingLine.exec(block)?.[1];
  return {
    type: typeOf(code, text.toLowerCase()),
    text: `${code} ${text}`.trim(),
    ...(pending === undefined ? {} : { pending: Number(pending) }),
  };
}

function typeOf(code: string, text: string): PullStatus["type"] {
  if (code === "100") return "heartbeat";
  if (code === "404" || code === "408") return "over";
  if (code === "503") return "absent";
  if (code !== "409") return "refused";
  if (/leadership change|server shutdown/.test(text)) return "moved";
  if (/maxwaiting/.test(text)) return "crowded";
  if (/exceeds maxbytes|batch completed/.test(text)) return "over";
  return "refused";
}
