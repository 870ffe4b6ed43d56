import { parseJson } from "@nexengine/protocol/formats";
import { type DeployRequest, deployRequestSchema } from "@nexengine/protocol/messages";
import type { DeployRecord } from "../state/deploy-records.ts";

/** The request of a recorded deploy. @throws NexError `malformed_request` */
export function requestOf(record: DeployRecord): { request: DeployRequest; body: Uint8Array } {
  const body = Buffer.from(record.request, "base64");
  return { request: parseJson(body, deployRequestSchema, "Cannot read a recorded deploy"), body };
}
