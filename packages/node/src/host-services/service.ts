/** Parts that all host services share. */

import type { NatsConnection } from "@nats-io/nats-core";
import type { HostErrorCode, HostReply } from "@nexengine/protocol/agent";
import { errorText } from "@nexengine/protocol/errors";
import type { Share } from "../budget/quota.ts";
import { unsentBytes } from "../connections/unsent-bytes.ts";

/** Maximum unsent bytes of a connection. Above it, calls that send something are refused. */
const unsentBytesMax = 16_777_216;

/** A failed host call, for the function's code. */
export class ServiceError extends Error {
  readonly code: HostErrorCode;

  constructor(code: HostErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** @throws ServiceError `429` while the NATS server is away, or does not read, and too much waits for it. */
export function assertTakesMore(connection: NatsConnection): void {
  if (unsentBytes(connection) > unsentBytesMax)
    throw new ServiceError(429, "the NATS server takes no more messages now; try again later");
}

/** Room for the answer of one call, in the node's budget. It is given back when the call is over. */
export class AnswerRoom {
  readonly #held: Share;
  #bytes = 0;

  constructor(held: Share) {
    this.#held = held;
  }

  /** Takes room before, or while, an answer is collected. @throws ServiceError `429` when there is none */
  take(bytes: number): void {
    if (!this.#held.take(bytes))
      throw new ServiceError(429, "the node holds too many bytes of answers; try again later");
    this.#bytes += bytes;
  }

  giveBack(): void {
    this.#held.give(this.#bytes);
    this.#bytes = 0;
  }
}

/** One method. `args` are unchecked. */
export type Method = (args: readonly Buffer[], room: AnswerRoom) => Promise<HostReply>;

/** Owner of the services. The node sets it, never the agent. */
export interface Owner {
  namespace: string;
  name: string;
}

export const nothing: HostReply = { kind: "nothing" };

/** An argument as text. @throws ServiceError with `text` when it is missing or no UTF-8 */
export function textOf(arg: Buffer | undefined, text: string): string {
  if (arg === undefined || arg.length === 0) throw new ServiceError(400, text);
  const decoded = arg.toString();
  if (decoded.includes("\ufffd") && !Buffer.from(decoded).equals(arg))
    throw new ServiceError(400, `${text}, as UTF-8`);
  return decoded;
}

/** An argument in JSON. The agent makes it, so errors need no detail. */
export function optionsOf(arg: Buffer | undefined): Record<string, unknown> {
  if (arg === undefined || arg.length === 0) return {};
  try {
    const value: unknown = JSON.parse(arg.toString());
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Reported below.
  }
  throw new ServiceError(400, "the options are not valid");
}

/** A numeric option. @throws ServiceError when it is out of range */
export function numberOf(
  options: Record<string, unknown>,
  name: string,
  { min, max, otherwise }: { min: number; max: number; otherwise: number },
): number {
  const value = options[name];
  if (value === undefined || value === null) return otherwise;
  if (typeof value === "number" && Number.isFinite(value) && value >= min && value <= max) return value;
  throw new ServiceError(400, `${name} must be a number from ${min} to ${max}`);
}

/** Turns an error into an answer. */
export function failureOf(error: unknown): HostReply {
  const code = error instanceof ServiceError ? error.code : 500;
  return { kind: "error", code, text: errorText(error) };
}

/** Error codes of JetStream. */
export function jetStreamCode(error: unknown): number | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === "number" ? code : undefined;
}
