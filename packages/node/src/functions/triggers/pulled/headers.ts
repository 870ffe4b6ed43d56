/** Single headers of a message, without a parser: most messages have none. */
import type { TriggerMessage } from "../trigger-connection.ts";

/** @returns the first value of a header, `undefined` without one */
export function headerOf(
  { bytes, headersStart, payloadStart }: Pick<TriggerMessage, "bytes" | "headersStart" | "payloadStart">,
  name: string,
): string | undefined {
  if (payloadStart === headersStart) return undefined;
  const head = `${name.toLowerCase()}:`;
  for (const line of bytes.toString("utf8", headersStart, payloadStart).split("\r\n")) {
    if (line.toLowerCase().startsWith(head)) return line.slice(head.length).trim();
  }
  return undefined;
}
