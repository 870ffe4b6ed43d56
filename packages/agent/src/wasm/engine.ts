/** The part of the engine's `WebAssembly` that is used here; the types of Node have none of it. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

export interface WasmGlobal {
  value: unknown;
}

/** A module that the engine has compiled. */
export interface CompiledModule {
  readonly [Symbol.toStringTag]: string;
}

/** A function of numbers that a module may import. */
export type HostFunction = (...args: never[]) => number | undefined;

export type WasmImports = Record<string, Record<string, HostFunction>>;

interface Engine {
  compile(bytes: Uint8Array): Promise<CompiledModule>;
  readonly Instance: new (
    module: CompiledModule,
    imports: WasmImports,
  ) => { exports: Record<string, unknown> };
  /** A trap. */
  readonly RuntimeError: new () => Error;
}

export const { WebAssembly: engine } = globalThis as unknown as { WebAssembly: Engine };
