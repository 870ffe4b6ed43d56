/**
 * The subject on which a delivered message is settled. It holds the facts of the delivery:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time in ns>.<pending>`.
 * A later form has domain and account before the stream, and may have one more token at the end.
 */

const dot = 46;
const zero = 48;
const shortTokens = 9;
/** Tokens before the stream's name. */
const headOfShort = 2;
const headOfLong = 4;
const nsPerMs = 1_000_000n;

/** Facts of one delivery. */
export interface Delivery {
  stream: string;
  consumer: string;
  /** 1 for the first delivery. */
  count: number;
  /** Sequence number of the message in its stream. */
  sequence: number;
  /** Time at which the stream took the message, as the text of nanoseconds since 1970. */
  timeNs: string;
  /** Messages that match the consumer and were not delivered yet. */
  pending: number;
}

/** Numbers of an ack subject that each delivery needs. */
export interface DeliveryCounts {
  /** Number of deliveries, 1 if it can't be read. */
  deliveries: number;
  /** Number of waiting messages, 0 if it can't be read. */
  pending: number;
}

/** Tokens from the stream's name to the numbers. */
const toDeliveries = 2;
const toPending = 6;

/** Reads the numbers of an ack subject without making a string. @param to Where they go: one object serves for all. */
export function readCounts(bytes: Uint8Array, start: number, end: number, to: DeliveryCounts): void {
  let dots = 0;
  for (let at = start; at < end; at++) if (bytes[at] === dot) dots++;
  const head = dots + 1 === shortTokens ? headOfShort : headOfLong;
  let token = 0;
  let deliveries = 0;
  let pending = 0;
  // The later form may have one more token at the end.
  for (let at = start; at < end && token <= head + toPending; at++) {
    const byte = bytes[at] as number;
    if (byte === dot) token++;
    else if (token === head + toDeliveries) deliveries = deliveries * 10 + byte - zero;
    else if (token === head + toPending) pending = pending * 10 + byte - zero;
  }
  to.deliveries = deliveries > 0 ? deliveries : 1;
  to.pending = pending > 0 ? pending : 0;
}

/** Parses an ack subject. @returns `undefined` for another subject */
export function parseAckSubject(subject: string): Delivery | undefined {
  const tokens = subject.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < shortTokens) return undefined;
  const head = tokens.length === shortTokens ? headOfShort : headOfLong;
  const [stream = "", consumer = "", count, sequence, , timeNs = "", pending] = tokens.slice(head);
  const numbers = [count, sequence, timeNs, pending];
  if (!numbers.every((text) => /^\d{1,20}$/.test(text ?? ""))) return undefined;
  return {
    ...{ stream, consumer, timeNs },
    count: Number(count),
    sequence: Number(sequence),
    pending: Number(pending),
  };
}

/** Time of a delivery in ms since 1970. */
export function deliveryTimeMs({ timeNs }: Delivery): number {
  return Number(BigInt(timeNs) / nsPerMs);
}
