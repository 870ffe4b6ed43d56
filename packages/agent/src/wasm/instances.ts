/** Instances of a module, in which no call finds anything of another. */
import { type CompiledModule, engine, type WasmGlobal, type WasmImports, type WasmMemory } from "./engine.ts";
import { globalExport, memoryExport, type WasmModule } from "./module.ts";

/** Compared and put back at once. */
const blockBytes = 16_384;
/** Memory of instances that are gone: the engine is told to look for it after so much. */
const droppedBytesMax = 64 * 1024 * 1024;

export interface Instance {
  memory: WasmMemory | undefined;
  start(): unknown;
  globals: readonly WasmGlobal[];
}

/** The state of an instance that was made and never called. */
interface Snapshot {
  memory: Buffer;
  globals: readonly unknown[];
}

export class Instances {
  readonly #compiled: CompiledModule;
  readonly #imports: WasmImports;
  readonly #stateGlobals: readonly number[];
  readonly #collect: () => void;
  #snapshot: Snapshot | undefined;
  #ready: Instance | undefined;
  #droppedBytes = 0;

  /**
   * @param collect Looks for memory that nobody holds any longer.
   * @throws what the engine says when no instance can be made
   */
  constructor(compiled: CompiledModule, module: WasmModule, imports: WasmImports, collect: () => void) {
    this.#compiled = compiled;
    this.#imports = imports;
    this.#stateGlobals = module.resettable ? module.stateGlobals : [];
    this.#collect = collect;
    this.#ready = this.#make();
    if (module.resettable) this.#snapshot = snapshotOf(this.#ready);
  }

  /** Are instances used again? */
  get reused(): boolean {
    return this.#snapshot !== undefined;
  }

  take(): Instance {
    const instance = this.#ready ?? this.#make();
    this.#ready = undefined;
    return instance;
  }

  /** The instance has run; it is used again when its whole state can be put back. */
  giveBack(instance: Instance): void {
    if (this.#snapshot !== undefined && putBack(instance, this.#snapshot)) {
      this.#ready = instance;
      return;
    }
    this.#droppedBytes += instance.memory?.buffer.byteLength ?? 0;
    if (this.#droppedBytes < droppedBytesMax) return;
    this.#droppedBytes = 0;
    this.#collect();
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
  if (values.some((value) => Number.isNaN(value))) return undefined;
  return { memory: Buffer.from(new Uint8Array(memory?.buffer ?? new ArrayBuffer(0))), globals: values };
}

/** @returns false for an instance whose memory has grown: it can't shrink. */
function putBack({ memory, globals }: Instance, snapshot: Snapshot): boolean {
  const size = snapshot.memory.length;
  if (memory !== undefined) {
    if (memory.buffer.byteLength !== size) return false;
    const bytes = Buffer.from(memory.buffer);
    for (let at = 0; at < size; at += blockBytes) {
      const end = at + blockBytes;
      if (snapshot.memory.compare(bytes, at, end, at, end) !== 0) snapshot.memory.copy(bytes, at, at, end);
    }
  }
  for (const [at, global] of globals.entries()) global.value = snapshot.globals[at];
  return true;
}
