/**
 * Commands of the test guest. Each command is one line over the frame channel. The answer is one line unless stated
 * otherwise:
 *
 * - `attach <n>`: opens the calls of this epoch, if they must be opened; no answer.
 * - `hello`: answers with its pid.
 * - `echo <n>`, then n bytes: sends them back.
 * - `call <n>`: sends a line with n, and n bytes, as a call, and waits; answers whether the same bytes came back.
 * - `flood <n>`: sends n bytes, and makes an empty call when it first has to wait for its reader. Then answers with
 *   the maximum number of bytes that waited in it.
 * - `last <n>`: sends n bytes and exits with status 0.
 * - Other names are actions of the guest program.
 */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { ByteReader } from "./byte-reader.ts";

/** The program that runs the commands. */
export interface GuestProgram {
  frames: Duplex;
  /** Called when the node has started this epoch. */
  attach?(epoch: number): void;
  /** Sends a call, and waits for an answer of `answerBytes` bytes. */
  call(request: Buffer, answerBytes: number): Buffer | Promise<Buffer>;
  /** Exits with this status. */
  exit(code: number): void;
  /** Additional commands. Their return value is the answer. */
  actions: Record<string, (argument: number, text: string) => unknown>;
}

const chunkBytesMax = 65_536;

/** Runs commands until the frame channel ends. */
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

/** Bytes that differ from their neighbours, so that lost and duplicated bytes are detected. */
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

/** Writes, and waits until the data is written. */
function send(frames: Duplex, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => frames.write(bytes, () => resolve()));
}
