/** Envelope of every reply: `data` for success; `error` as text with `data: ""` for failure. */
import { z } from "zod";
import { type ErrorCode, isErrorCode, NexError } from "../errors.ts";
import { checkJson, parseJson } from "../formats/go-json.ts";

const typePrefix = "io.nats.nex.v1.";

/** Kind of a reply. WPING is answered with `ping_response`. */
export type ResponseKind =
  | "ping"
  | "auction"
  | "auction_why"
  | "info"
  | "run"
  | "stop"
  | "trigger"
  | "lameduck";

/** Maximum size of an answer. The answer of a node with many workloads is larger than any request. */
export const responseBytesMax = 8_388_608;
/** Maximum number of values in an answer. */
const responseValuesMax = 1_048_576;

const encoder = new TextEncoder();

/** Encodes a successful reply. */
export function encodeResponse(kind: ResponseKind, data: object): Uint8Array {
  return encoder.encode(JSON.stringify({ type: `${typePrefix}${kind}_response`, data }));
}

/** Encodes a failure: the message for people, the code for programs. */
export function encodeFailure(kind: ResponseKind, error: NexError): Uint8Array {
  return encoder.encode(
    JSON.stringify({
      type: `${typePrefix}${kind}_response`,
      data: "",
      error: error.message,
      nex: { version: 1, code: error.code },
    }),
  );
}

const envelopeSchema = z.object({
  type: z.string().optional(),
  data: z.unknown(),
  error: z.string().nullish(),
  nex: z.object({ code: z.string().optional() }).nullish().catch(undefined),
});

/** Error codes of nodes that send none, by the start of Go Nex's error text. */
const goNexTexts: readonly (readonly [string, ErrorCode])[] = [
  ["No such workload", "no_such_workload"],
  ["Node is in lame duck mode", "lame_duck"],
  ["Node is at maximum workload limit", "workload_limit"],
  ["Unsupported workload type on this node", "unsupported_type"],
  ["Unsupported workload type for trigger", "triggers_not_supported"],
  ["The trigger subject", "trigger_denied"],
  ["Failed to decrypt environment", "environment_unreadable"],
  ["invalid workload issuer", "issuer_not_allowed"],
  ["Failed to get agent client from pool", "no_ready_machine"],
  ["Failed to cache workload bytes", "artifact_not_found"],
  ["Workload file size would exceed", "artifact_too_large"],
  ["Failed to deploy workload", "workload_rejected"],
  ["Failed to stop workload", "stop_failed"],
  ["Unable to deserialize", "malformed_request"],
  ["Invalid stop request", "token_invalid"],
  ["Invalid deploy request", "token_invalid"],
];

/**
 * Decodes a reply.
 *
 * @param from Sender, for errors: `node N…`.
 * @throws NexError with the code that the node sent, or the code for its error text; `answer_unreadable` if the bytes
 * are not a reply.
 */
export function decodeResponse<T>(bytes: Uint8Array, data: z.ZodType<T>, from = "a node"): T {
  const what = `Cannot read the answer of ${from}`;
  const envelope = readable(() =>
    parseJson(bytes, envelopeSchema, what, responseBytesMax, responseValuesMax),
  );
  if (typeof envelope.error === "string") {
    const given = envelope.nex?.code;
    throw new NexError(isErrorCode(given) ? given : codeOfText(envelope.error), envelope.error);
  }
  return readable(() => checkJson(envelope.data, data, what));
}

/** An unreadable answer is the node's fault, not the requester's. */
function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw cause instanceof NexError ? new NexError("answer_unreadable", cause.message, { cause }) : cause;
  }
}

function codeOfText(text: string): ErrorCode {
  return goNexTexts.find(([head]) => text.startsWith(head))?.[1] ?? "internal";
}
