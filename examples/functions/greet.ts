// TypeScript, several files, and headers: nex devrun makes one file of them.
import type { Call } from "@nexengine/client/function";
import { greeting } from "./greeting.ts";

const decoder = new TextDecoder();

export default async function greet(_subject: string, payload: Uint8Array, call: Call): Promise<Uint8Array> {
  const language = call.headers.get("Accept-Language") ?? "en";
  call.replyHeaders.set("Content-Language", language);
  return new TextEncoder().encode(greeting(decoder.decode(payload), language));
}
