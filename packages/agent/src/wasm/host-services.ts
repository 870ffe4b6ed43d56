/** Host services for modules: two functions, of which one calls and the other reads the answer. */
import type { HostReply } from "@nexengine/protocol/agent";
import type { HostCalls } from "../host-calls.ts";
import type { HostFunction } from "./engine.ts";
import type { FunctionMemory } from "./memory.ts";

const argumentsMax = 8;
const methodMax = 255;
const badCall = -400;

export class WasmHostServices {
  readonly #memory: FunctionMemory;
  readonly #calls: HostCalls;
  #answer: Uint8Array = new Uint8Array(0);
  #answerAt = 0;

  constructor(memory: FunctionMemory, calls: HostCalls) {
    this.#memory = memory;
    this.#calls = calls;
  }

  /** A call has ended, and what it was answered goes. */
  end(): void {
    this.#answer = new Uint8Array(0);
    this.#answerAt = 0;
  }

  /** The functions by name, with their signatures. */
  functions(): Readonly<Record<string, readonly [signature: string, run: HostFunction]>> {
    return {
      call: ["iii:i", (method: number, parts: number, count: number) => this.#call(method, parts, count)],
      read: ["ii:i", (to: number, size: number) => this.#read(to, size)],
    };
  }

  /** @returns the size of the answer, or a code as HTTP has them with a minus, where the answer is the error's text. */
  #call(method: number, parts: number, count: number): number {
    this.end();
    if (method < 0 || method > methodMax || count < 0 || count > argumentsMax) return badCall;
    const args = Array.from({ length: count }, (_, at) => {
      const part = parts + 8 * at;
      return this.#memory.range(this.#memory.u32(part), this.#memory.u32(part + 4));
    });
    const reply = this.#calls.block(method, args);
    this.#answer = answerBytes(reply);
    return reply.kind === "error" ? -reply.code : this.#answer.length;
  }

  /** Reads on in the answer. @returns how many bytes there were */
  #read(to: number, size: number): number {
    const end = Math.min(this.#answerAt + (size >>> 0), this.#answer.length);
    const count = end - this.#answerAt;
    this.#memory.put(to, this.#answer, this.#answerAt, end);
    this.#answerAt = end;
    return count;
  }
}

function answerBytes(reply: HostReply): Uint8Array {
  switch (reply.kind) {
    case "nothing":
      return new Uint8Array(0);
    case "bytes":
      return reply.bytes;
    case "json":
      return Buffer.from(JSON.stringify(reply.value));
    case "error":
      return Buffer.from(reply.text);
    case "list":
      return Buffer.concat(reply.items.flatMap((item) => [lengthOf(item), item]));
  }
}

function lengthOf(item: Uint8Array): Uint8Array {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(item.length);
  return length;
}
