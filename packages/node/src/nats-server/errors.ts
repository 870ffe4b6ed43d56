/** The conditions under which there is no nats-server to use. */
export const natsServerErrorCodes = [
  /** None was found, or none could be fetched. */
  "nats_server_missing",
  /** It is older than what Nex needs. */
  "nats_server_too_old",
  /** The port that was asked for belongs to another program. */
  "nats_server_port_taken",
  /** It ended, or did not become ready, or did not answer. */
  "nats_server_failed",
] as const;
export type NatsServerErrorCode = (typeof natsServerErrorCodes)[number];

/** What finding, fetching and starting a nats-server throw. */
export class NatsServerError extends Error {
  override readonly name = "NatsServerError";
  readonly code: NatsServerErrorCode;

  constructor(code: NatsServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
