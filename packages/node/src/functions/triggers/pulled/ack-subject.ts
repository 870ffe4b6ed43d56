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

/** Number of deliveries in an ack subject, without making a string; 1 if it can't be read. */
export function deliveryCountOf(bytes: Uint8Array, start: number, end: number): number {
  let dots = 0;
  for (let at = start; at < end; at++) if (bytes[at] === dot) dots++;
  // Two tokens after the head are the stream and the consumer.
  let skip = (dots + 1 === shortTokens ? headOfShort : headOfLong) + 2;
  let at = start;
  while (skip > 0 && at < end) if (bytes[at++] === dot) skip--;
  let count = 0;
  for (; at < end && bytes[at] !== dot; at++) count = count * 10 + (bytes[at] as number) - zero;
  return count > 0 ? count : 1;
}

/** Number of waiting messages in an ack subject, without making a string; 0 if it can't be read. */
export function pendingCountOf(bytes: Uint8Array, start: number, end: number): number {
  let dots = 0;
  for (let at = start; at < end; at++) if (bytes[at] === dot) dots++;
  // The later form may have one token after it.
  let skip = (dots + 1 === shortTokens ? headOfShort : headOfLong) + 6;
  let at = start;
  while (skip > 0 && at < end) if (bytes[at++] === dot) skip--;
  let count = 0;
  for (; at < end && bytes[at] !== dot; at++) count = count * 10 + (bytes[at] as number) - zero;
  return count;
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
