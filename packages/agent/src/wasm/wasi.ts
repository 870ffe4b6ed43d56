/**
 * The system that a command of WASI preview 1 finds in its machine: arguments, environment, standard input, output and
 * errors, clocks, random bytes and sleep. There are no files and no sockets.
 */
import type { Deploy } from "@nexengine/protocol/agent";
import type { Call } from "../call-queue.ts";
import { LineSplitter } from "../line-splitter.ts";
import type { ProviderHost } from "../provider.ts";
import { fillRandom } from "../random.ts";
import { Triggers } from "../trigger-facts.ts";
import type { HostFunction } from "./engine.ts";
import type { FunctionMemory } from "./memory.ts";
import { StderrLog } from "./stderr-log.ts";
import { triggerVariables } from "./trigger-variables.ts";

const Errno = { success: 0, badFile: 8, invalid: 28, notSupported: 52, seekOnPipe: 70 } as const;

/** Maximum number of bytes that a call may write to its standard output. */
const outputBytesMax = 8 * 1024 * 1024;
const outputBytesFirst = 4_096;
const stderrChunkBytes = 65_536;
const nsPerMs = 1e6;
const subscriptionBytes = 48;
const eventBytes = 32;

/** The command has ended itself. */
export class CommandExit {
  readonly code: number;
  constructor(code: number) {
    this.code = code;
  }
}

/** The parts of a deploy that a command sees. */
type WasiOptions = Pick<Deploy, "environment" | "triggers">;

/** A call of it at a time. */
export class Wasi {
  readonly #memory: FunctionMemory;
  readonly #host: ProviderHost;
  readonly #log: StderrLog;
  readonly #own: readonly string[];
  readonly #ownEnvironment: StringList;
  #environment: StringList;
  readonly #triggers: Triggers;
  #subject: string | undefined;
  #arguments = new StringList([]);
  #input: Uint8Array = new Uint8Array(0);
  #inputAt = 0;
  #inputEnd = 0;
  #output = Buffer.allocUnsafeSlow(outputBytesFirst);
  #outputBytes = 0;
  #stderr: LineSplitter | undefined;
  /** A bit for each of the three descriptors. */
  #closed = 0;
  #exit: CommandExit | undefined;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));

  constructor(memory: FunctionMemory, host: ProviderHost, { environment, triggers }: WasiOptions) {
    this.#memory = memory;
    this.#host = host;
    this.#log = new StderrLog(host);
    this.#own = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    this.#ownEnvironment = new StringList(this.#own);
    this.#environment = this.#ownEnvironment;
    this.#triggers = new Triggers(triggers);
  }

  begin(call: Call): void {
    if (this.#subject !== call.subject) {
      this.#subject = call.subject;
      this.#arguments = new StringList(["nexfunction", call.subject]);
    }
    // First, so that a module finds them before a variable of the deploy with the same name.
    this.#environment =
      call.triggerPlace === 0
        ? this.#ownEnvironment
        : new StringList([...triggerVariables(this.#triggers.ofCall(call)), ...this.#own]);
    this.#input = call.bytes;
    this.#inputAt = call.payloadStart;
    this.#inputEnd = call.payloadEnd;
    this.#outputBytes = 0;
    this.#closed = 0;
    this.#exit = undefined;
  }
  /** The call has ended; a large output is let go of. */
  end(): void {
    this.#input = new Uint8Array(0);
    this.#stderr?.end();
    this.#stderr = undefined;
    if (this.#output.length > 16 * outputBytesFirst) this.#output = Buffer.allocUnsafeSlow(outputBytesFirst);
  }

  /** The bytes that the call has written to its standard output; they stay until the end of the call. */
  get output(): Uint8Array {
    return this.#output.subarray(0, this.#outputBytes);
  }

  /** How the command has ended itself, if it has. */
  get exit(): CommandExit | undefined {
    return this.#exit;
  }

  /** All functions by name, with their signatures. */
  functions(): Readonly<Record<string, readonly [signature: string, run: HostFunction]>> {
    return {
      args_get: ["ii:i", (list: number, text: number) => this.#arguments.put(this.#memory, list, text)],
      args_sizes_get: [
        "ii:i",
        (count: number, size: number) => this.#arguments.putSizes(this.#memory, count, size),
      ],
      environ_get: ["ii:i", (list: number, text: number) => this.#environment.put(this.#memory, list, text)],
      environ_sizes_get: [
        "ii:i",
        (count: number, size: number) => this.#environment.putSizes(this.#memory, count, size),
      ],
      clock_res_get: ["ii:i", (id: number, to: number) => this.#clockResolution(id, to)],
      clock_time_get: ["iIi:i", (id: number, _: bigint, to: number) => this.#clockTime(id, to)],
      fd_close: ["i:i", (fd: number) => this.#close(fd)],
      fd_fdstat_get: ["ii:i", (fd: number, to: number) => this.#status(fd, to)],
      fd_fdstat_set_flags: ["ii:i", (fd: number) => (this.#isOpen(fd) ? Errno.success : Errno.badFile)],
      fd_filestat_get: ["ii:i", (fd: number, to: number) => this.#fileStatus(fd, to)],
      fd_read: [
        "iiii:i",
        (fd: number, parts: number, count: number, to: number) => this.#read(fd, parts, count, to),
      ],
      fd_write: [
        "iiii:i",
        (fd: number, parts: number, count: number, to: number) => this.#write(fd, parts, count, to),
      ],
      poll_oneoff: [
        "iiii:i",
        (asked: number, events: number, count: number, to: number) => this.#poll(asked, events, count, to),
      ],
      proc_exit: ["i:", (code: number) => this.#exitWith(code)],
      random_get: ["ii:i", (to: number, size: number) => this.#fillRandom(to, size)],
      sched_yield: [":i", () => Errno.success],
      ...Object.fromEntries(
        Object.entries(absent).map(([name, [signature, errno]]) => [name, [signature, () => errno] as const]),
      ),
    };
  }

  #isOpen(fd: number): boolean {
    return fd >>> 0 <= 2 && (this.#closed & (1 << fd)) === 0;
  }

  #close(fd: number): number {
    if (!this.#isOpen(fd)) return Errno.badFile;
    this.#closed |= 1 << fd;
    return Errno.success;
  }

  /** Reports a descriptor of no known kind, with the rights to read or to write, as a pipe has. */
  #status(fd: number, to: number): number {
    if (!this.#isOpen(fd)) return Errno.badFile;
    this.#memory.range(to, 24).fill(0);
    this.#memory.setU32(to + 8, fd === 0 ? 1 << 1 : 1 << 6);
    return Errno.success;
  }

  #fileStatus(fd: number, to: number): number {
    if (!this.#isOpen(fd)) return Errno.badFile;
    this.#memory.range(to, 64).fill(0);
    return Errno.success;
  }

  #read(fd: number, parts: number, count: number, to: number): number {
    if (fd !== 0 || !this.#isOpen(0)) return Errno.badFile;
    const memory = this.#memory;
    let read = 0;
    for (let part = 0; part < count >>> 0 && this.#inputAt < this.#inputEnd; part++) {
      const place = memory.u32(parts + 8 * part);
      const size = Math.min(memory.u32(parts + 8 * part + 4), this.#inputEnd - this.#inputAt);
      memory.put(place, this.#input, this.#inputAt, this.#inputAt + size);
      this.#inputAt += size;
      read += size;
    }
    memory.setU32(to, read);
    return Errno.success;
  }

  #write(fd: number, parts: number, count: number, to: number): number {
    if (fd === 0 || !this.#isOpen(fd)) return Errno.badFile;
    let written = 0;
    for (let part = 0; part < count >>> 0; part++) {
      const bytes = this.#memory.range(
        this.#memory.u32(parts + 8 * part),
        this.#memory.u32(parts + 8 * part + 4),
      );
      if (fd === 1) this.#append(bytes);
      else this.#complain(bytes);
      written += bytes.length;
    }
    this.#memory.setU32(to, written);
    return Errno.success;
  }

  #append(bytes: Uint8Array): void {
    const size = this.#outputBytes + bytes.length;
    if (size > outputBytesMax)
      throw new RangeError(`it wrote over ${outputBytesMax} bytes to its standard output`);
    if (size > this.#output.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.max(size, Math.min(2 * this.#output.length, outputBytesMax)),
      );
      this.#output.copy(larger, 0, 0, this.#outputBytes);
      this.#output = larger;
    }
    this.#output.set(bytes, this.#outputBytes);
    this.#outputBytes = size;
  }

  #complain(bytes: Uint8Array): void {
    this.#stderr ??= new LineSplitter((line) => this.#log.write(line));
    // Copies, and not of all at once: what is kept must not change with the memory.
    for (let at = 0; at < bytes.length; at += stderrChunkBytes)
      this.#stderr.push(Buffer.from(bytes.subarray(at, at + stderrChunkBytes)));
  }

  #clockResolution(id: number, to: number): number {
    if (id >>> 0 > 1) return Errno.invalid;
    this.#memory.setU64(to, id === 0 ? BigInt(nsPerMs) : 1n);
    return Errno.success;
  }

  #clockTime(id: number, to: number): number {
    if (id >>> 0 > 1) return Errno.invalid;
    this.#memory.setU64(to, clockNs(id));
    return Errno.success;
  }

  #fillRandom(to: number, size: number): number {
    fillRandom(this.#memory.range(to, size));
    return Errno.success;
  }

  #exitWith(code: number): never {
    this.#exit ??= new CommandExit(code >>> 0);
    throw this.#exit;
  }

  /** Files are ready at once; without any, this sleeps until the first clock. */
  #poll(asked: number, events: number, count: number, to: number): number {
    if (count === 0) return Errno.invalid;
    const memory = this.#memory;
    let sleepMs = Number.POSITIVE_INFINITY;
    let ready = 0;
    for (let at = 0; at < count >>> 0; at++) {
      const from = asked + at * subscriptionBytes;
      if (memory.u8(from + 8) === 0) sleepMs = Math.min(sleepMs, this.#waitMs(from));
      else this.#putEvent(from, events + ready++ * eventBytes);
    }
    if (ready === 0) {
      this.#sleep(sleepMs);
      for (let at = 0; at < count >>> 0; at++) {
        const from = asked + at * subscriptionBytes;
        if (this.#waitMs(from) <= sleepMs) this.#putEvent(from, events + ready++ * eventBytes);
      }
    }
    memory.setU32(to, ready);
    return Errno.success;
  }

  /** How long a clock of a subscription still has to go. */
  #waitMs(subscription: number): number {
    const id = this.#memory.u32(subscription + 16);
    const timeoutNs = this.#memory.u64(subscription + 24);
    const isAbsolute = (this.#memory.u8(subscription + 40) & 1) !== 0;
    const ns = isAbsolute ? timeoutNs - clockNs(id) : timeoutNs;
    return Math.max(0, Number(ns) / nsPerMs);
  }

  #putEvent(subscription: number, to: number): void {
    const memory = this.#memory;
    const kind = memory.u8(subscription + 8);
    const userData = memory.u64(subscription);
    const fd = memory.u32(subscription + 16);
    memory.range(to, eventBytes).fill(0);
    memory.setU64(to, userData);
    memory.range(to + 10, 1)[0] = kind;
    if (kind === 0) return;
    if (!this.#isOpen(fd)) memory.range(to + 8, 1)[0] = Errno.badFile;
    else memory.setU64(to + 16, BigInt(fd === 0 ? this.#inputEnd - this.#inputAt : outputBytesFirst));
  }

  /** The machine sleeps with it; the node ends both at the call's limit. */
  #sleep(ms: number): void {
    if (ms <= 0) return;
    // Answers of calls that ran before must not wait for this one.
    if (this.#host.unsent) this.#host.flush();
    Atomics.wait(this.#sleeper, 0, 0, ms);
  }
}

/** The functions that no command needs that has neither files nor sockets. */
const absent: Readonly<Record<string, readonly [signature: string, errno: number]>> = {
  fd_advise: ["iIIi:i", Errno.notSupported],
  fd_allocate: ["iII:i", Errno.notSupported],
  fd_datasync: ["i:i", Errno.notSupported],
  fd_fdstat_set_rights: ["iII:i", Errno.notSupported],
  fd_filestat_set_size: ["iI:i", Errno.notSupported],
  fd_filestat_set_times: ["iIIi:i", Errno.notSupported],
  fd_pread: ["iiiIi:i", Errno.seekOnPipe],
  fd_prestat_get: ["ii:i", Errno.badFile],
  fd_prestat_dir_name: ["iii:i", Errno.badFile],
  fd_pwrite: ["iiiIi:i", Errno.seekOnPipe],
  fd_readdir: ["iiiIi:i", Errno.badFile],
  fd_renumber: ["ii:i", Errno.notSupported],
  fd_seek: ["iIii:i", Errno.seekOnPipe],
  fd_sync: ["i:i", Errno.notSupported],
  fd_tell: ["ii:i", Errno.seekOnPipe],
  path_create_directory: ["iii:i", Errno.badFile],
  path_filestat_get: ["iiiii:i", Errno.badFile],
  path_filestat_set_times: ["iiiiIIi:i", Errno.badFile],
  path_link: ["iiiiiii:i", Errno.badFile],
  path_open: ["iiiiiIIii:i", Errno.badFile],
  path_readlink: ["iiiiii:i", Errno.badFile],
  path_remove_directory: ["iii:i", Errno.badFile],
  path_rename: ["iiiiii:i", Errno.badFile],
  path_symlink: ["iiiii:i", Errno.badFile],
  path_unlink_file: ["iii:i", Errno.badFile],
  proc_raise: ["i:i", Errno.notSupported],
  sock_accept: ["iii:i", Errno.badFile],
  sock_recv: ["iiiiii:i", Errno.badFile],
  sock_send: ["iiiii:i", Errno.badFile],
  sock_shutdown: ["ii:i", Errno.badFile],
};

function clockNs(id: number): bigint {
  return id === 0 ? BigInt(Date.now()) * BigInt(nsPerMs) : process.hrtime.bigint();
}

/** Texts as a command gets its arguments and its environment: places in a list, and the texts with a zero behind each. */
class StringList {
  readonly #starts: number[] = [];
  readonly #bytes: Buffer;

  constructor(texts: readonly string[]) {
    let size = 0;
    const parts = texts.map((text) => Buffer.from(`${text}\0`));
    for (const part of parts) {
      this.#starts.push(size);
      size += part.length;
    }
    this.#bytes = Buffer.concat(parts);
  }

  putSizes(memory: FunctionMemory, count: number, size: number): number {
    memory.setU32(count, this.#starts.length);
    memory.setU32(size, this.#bytes.length);
    return Errno.success;
  }

  put(memory: FunctionMemory, list: number, text: number): number {
    for (const [at, start] of this.#starts.entries()) memory.setU32(list + 4 * at, text + start);
    memory.put(text, this.#bytes, 0, this.#bytes.length);
    return Errno.success;
  }
}
