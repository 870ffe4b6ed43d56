import { requestBytesMax } from "@nexengine/protocol/formats";

/** Whether an unreadable body has a member `nex`. Such a body must not be ignored. */
export function hasExtras(body: Uint8Array): boolean {
  // A body that is too large to read may have one.
  if (body.length > requestBytesMax) return true;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(body).toString());
    return typeof parsed === "object" && parsed !== null && Object.hasOwn(parsed, "nex");
  } catch {
    return false;
  }
}
