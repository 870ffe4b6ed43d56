import { requestBytesMax } from "@nexengine/protocol/internal";

/** Has a body, which could not be read as what was expected, additions of ours? Then it is not to be passed over. */
export function hasExtras(body: Uint8Array): boolean {
  // What is too large to be read may have any.
  if (body.length > requestBytesMax) return true;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(body).toString());
    return typeof parsed === "object" && parsed !== null && Object.hasOwn(parsed, "nex");
  } catch {
    return false;
  }
}
