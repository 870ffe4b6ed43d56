// TypeScript, several files, and headers: nex devrun makes one file of them.
import { greeting } from "./greeting.ts";

interface Headers {
  get(name: string): string | undefined;
  set(name: string, value: string): void;
}

const decoder = new TextDecoder();

export default async function greet(
  _subject: string,
  payload: Uint8Array,
  call: { headers: Headers; replyHeaders: Headers },
): Promise<Uint8Array> {
  const language = call.headers.get("Accept-Language") ?? "en";
  call.replyHeaders.set("Content-Language", language);
  return new TextEncoder().encode(greeting(decoder.decode(payload), language));
}
