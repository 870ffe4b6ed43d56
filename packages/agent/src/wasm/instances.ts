/** Instances of a module, in which no call finds anything of another. */
import type { DroppedMemory } from "./dropped-memory.ts";
import { type CompiledModule, engine, type WasmGlobal, type WasmImports, type WasmMemory } from "./engine.ts";
import { globalExport, memoryExport, type WasmModule } from "./module.ts";

/** A larger memory is not put back: a new instance then costs less. */
const resetBytesMax = 8 * 1024 * 1024;
/** The parts of a memory that are kept for that are those that are not zero, in steps of so much. */
const blockBytes = 1_024;

export interface Instance {
  memory: WasmMemory | undefined;
  start(): unknown;
  globals: readonly WasmGlobal[];
}

/** The state of an instance that was made and never called. */
interface Snapshot {
  memoryBytes: number;
  /** The parts of its memory that are not zero. */
  parts: readonly { at: number; bytes: Uint8Array }[];
  globals: readonly unknown[];
}

export class Instances {
  readonly #compiled: CompiledModule;
  readonly #imports: WasmImports;
  readonly #stateGlobals: readonly number[];
  readonly #dropped: DroppedMemory;
  #snapshot: Snapshot | undefined;
  #ready: Instance | undefined;

  /**
   * @throws what the engine says when no instance can be made
   */
  constructor(compiled: CompiledModule, module: WasmModule, imports: WasmImports, dropped: DroppedMemory) {
    this.#compiled = compiled;
    this.#imports = imports;
    this.#stateGlobals = module.resettable ? module.stateGlobals : [];
    this.#dropped = dropped;
    this.#ready = this.#make();
    if (module.resettable) this.#snapshot = snapshotOf(this.#ready);
  }

  take(): Instance {
    const instance = this.#ready ?? this.#make();
    this.#ready = undefined;
    return instance;
  }

  /** The instance has run. @returns whether it is used again: its whole state could be put back. */
  giveBack(instance: Instance): boolean {
    if (this.#snapshot !== undefined && putBack(instance, this.#snapshot)) {
      this.#ready = instance;
      return true;
    }
    this.#dropped.add(instance.memory?.buffer.byteLength ?? 0);
    return false;
  }

  #make(): Instance {
    const { exports } = new engine.Instance(this.#compiled, this.#imports);
    return {
      memory: exports[memoryExport] as WasmMemory | undefined,
      start: exports["_start"] as () => unknown,
      globals: this.#stateGlobals.map((index) => exports[globalExport(index)] as WasmGlobal),
    };
  }
}

/** @returns `undefined` where a value can't be put back as it was: not every NaN is the same. */
function snapshotOf({ memory, globals }: Instance): Snapshot | undefined {
  const values = globals.map(({ value }) => value as unknown);
  const bytes = new Uint8Array(memory?.buffer ?? new ArrayBuffer(0));
  if (values.some(Number.isNaN) || bytes.length > resetBytesMax) return undefined;
  return { memoryBytes: bytes.length, parts: partsOf(bytes), globals: values };
}

function partsOf(bytes: Uint8Array): Snapshot["parts"] {
  const parts: { at: number; bytes: Uint8Array }[] = [];
  let begin = 0;
  for (let at = 0; at <= bytes.length; at += blockBytes) {
    if (at < bytes.length && bytes.subarray(at, at + blockBytes).some((byte) => byte !== 0)) continue;
    if (begin < at) parts.push({ at: begin, bytes: bytes.slice(begin, at) });
    begin = at + blockBytes;
  }
  return parts;
}

/** @returns false for an instance whose memory has grown: it can't shrink. */
function putBack({ memory, globals }: Instance, snapshot: Snapshot): boolean {
  if (memory !== undefined) {
    const bytes = new Uint8Array(memory.buffer);
    if (bytes.length !== snapshot.memoryBytes) return false;
    bytes.fill(0);
    for (const part of snapshot.parts) bytes.set(part.bytes, part.at);
  }
  for (const [at, global] of globals.entries()) global.value = snapshot.globals[at];
  return true;
}
