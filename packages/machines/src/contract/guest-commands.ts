/**
 * What the test guest understands. Over frames it is told one command a line, and answers with one line, or with what
 * the command says:
 *
 * - `attach <n>`: opens the calls of this epoch, where they have to be; no answer.
 * - `hello`: says its pid.
 * - `echo <n>`, then n bytes: sends them back.
 * - `call <n>`: sends a line with n and n bytes as a call, and waits; says whether the same bytes came back.
 * - `flood <n>`: sends n bytes, and makes a call of no bytes when it has to wait for its reader for the first time.
 *   Then says how many bytes at most waited in it.
 * - `last <n>`: sends n bytes and ends with status 0.
 * - everything else is a deed of the program around it.
 */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { ByteReader } from "./byte-reader.ts";

/** The program around the commands. */
export interface GuestProgram {
  frames: Duplex;
  /** The node has begun this epoch. */
  attach?(epoch: number): void;
  /** Sends a call, and waits for an answer of as many bytes. */
  call(request: Buffer, answerBytes: number): Buffer | Promise<Buffer>;
  /** Ends with this status. */
  exit(code: number): void;
  /** Further commands; what they return is the answer. */
  actions: Record<string, (argument: number, text: string) => unknown>;
}

const chunkBytesMax = 65_536;

/** Obeys until the frames end. */
export async function obey(program: GuestProgram): Promise<void> {
  const { frames } = program;
  const reader = new ByteReader(frames);
  for (let line = await reader.line(); line !== undefined; line = await reader.line()) {
    const [name = "", ...words] = line.split(" ");
    const text = words.join(" ");
    const count = Number(text);
    if (name === "attach") program.attach?.(count);
    else if (name === "echo") await echo(reader, frames, count);
    else if (name === "flood") await flood(program, count);
    else if (name === "last") await send(frames, pattern(count)).then(() => program.exit(0));
    else if (name === "call") await send(frames, `${await call(program, count)}\n`);
    else await send(frames, `${String((await program.actions[name]?.(count, text)) ?? "unknown")}\n`);
  }
}

/** Bytes that differ from their neighbours, so that lost and doubled ones show. */
export function pattern(count: number, seed = 0): Buffer {
  const bytes = Buffer.alloc(count);
  for (let index = 0; index < count; index++) bytes[index] = (index * 31 + (index >> 8) * 7 + seed) & 0xff;
  return bytes;
}

async function echo(reader: ByteReader, frames: Duplex, count: number): Promise<void> {
  for (let left = count; left > 0; ) {
    const chunk = await reader.some(left);
    if (!chunk) return;
    left -= chunk.length;
    await send(frames, chunk);
  }
}

async function call(program: GuestProgram, count: number): Promise<string> {
  const bytes = pattern(count);
  const answer = await program.call(Buffer.concat([Buffer.from(`${count}\n`), bytes]), count);
  return answer.equals(bytes) ? `called ${count}` : `wrong answer of ${answer.length} bytes`;
}

async function flood(program: GuestProgram, count: number): Promise<void> {
  const bytes = pattern(count);
  let waitingMax = 0;
  let told = false;
  for (let sent = 0; sent < count; sent += chunkBytesMax) {
    const free = program.frames.write(bytes.subarray(sent, sent + chunkBytesMax));
    waitingMax = Math.max(waitingMax, program.frames.writableLength);
    if (free) continue;
    if (!told) await program.call(Buffer.from("0\n"), 0);
    told = true;
    if (program.frames.writableNeedDrain) await once(program.frames, "drain");
  }
  await send(program.frames, `flooded ${waitingMax}\n`);
}

/** Writes and waits until it is written. */
function send(frames: Duplex, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => frames.write(bytes, () => resolve()));
}
