/**
 * Reads a module's declarations from its binary form, and rewrites the module with limits and with its state exported.
 */
import { NexError } from "@nexengine/protocol/errors";
import { isSimpleType, keepsTables, passConstant } from "./instructions.ts";
import { malformed, WasmReader } from "./reader.ts";

const pageBytes = 65_536;
/** Maximum number of pages, in the 4 GiB that an address reaches. */
const pagesMax = 65_536;
/** The most elements that a table may begin with or grow to. */
const tableElementsMax = 1_000_000;
/** Modules with more code get a new instance for each call, as if nothing were known of it. */
const analysedCodeBytesMax = 8 * 1024 * 1024;
const headerBytes = 8;
/** Before the names of what is exported here in addition. */
const ownPrefix = "nex:";
export const memoryExport = `${ownPrefix}memory`;

const Section = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  code: 10,
  data: 11,
  dataCount: 12,
} as const;

const kindNames = ["function", "table", "memory", "global", "tag"];

interface WasmImport {
  module: string;
  name: string;
  kind: string;
  /** Parameters, `:` and results, a letter each; absent where it is no function of numbers. */
  signature?: string | undefined;
}

/** How far a memory or a table reaches. */
interface Limits {
  flags: number;
  min: number;
  max: number | undefined;
}

interface Table extends Limits {
  type: number;
}

interface Global {
  type: number;
  mutable: boolean;
}

interface Export {
  name: string;
  kind: number;
  index: number;
}

interface Part {
  id: number;
  /** Where its head begins. */
  start: number;
  content: WasmReader;
}

/** Facts about a module. */
export interface WasmModule {
  bytes: Uint8Array;
  sections: readonly Part[];
  imports: readonly WasmImport[];
  tables: readonly Table[];
  memories: readonly Limits[];
  exports: readonly Export[];
  /** The numeric globals that can change. */
  stateGlobals: readonly number[];
  /** All that a call can change is its one memory and those globals. */
  resettable: boolean;
}

const valueLetters: Readonly<Record<number, string>> = { 127: "i", 126: "I", 125: "f", 124: "F" };

/**
 * Reads a module as far as it is needed here; the engine checks that it is valid.
 *
 * @throws NexError `artifact_invalid`
 */
export function readModule(bytes: Uint8Array): WasmModule {
  const reader = new WasmReader(bytes);
  checkHeader(reader);
  const sections: Part[] = [];
  while (!reader.done) {
    const start = reader.at;
    const id = reader.u8();
    sections.push({ id, start, content: reader.part() });
  }
  const content = (id: number): WasmReader | undefined => {
    const part = sections.find((section) => section.id === id)?.content;
    return part && new WasmReader(bytes, part.at, part.end);
  };
  const list = <T>(id: number, read: (from: WasmReader) => T): T[] => {
    const from = content(id);
    return from === undefined ? [] : from.list(() => read(from));
  };
  const signatures = readTypes(content(Section.type));
  const imports = list(Section.import, (from) => readImport(from, signatures));
  const tables = list(Section.table, readTable);
  const memories = list(Section.memory, readLimits);
  const exports = list(Section.export, (from) => ({
    name: from.name(),
    kind: from.u8(),
    index: from.u32(),
  }));
  const globals = readGlobals(content(Section.global));
  const code = content(Section.code);
  return {
    bytes,
    sections,
    imports,
    tables,
    memories,
    exports,
    stateGlobals: (globals ?? []).flatMap(({ mutable }, index) => (mutable ? [index] : [])),
    resettable: isResettable({ signatures, globals, memories, sections, exports, code }),
  };
}

interface Declared extends Pick<WasmModule, "memories" | "sections" | "exports"> {
  signatures: readonly unknown[] | undefined;
  globals: readonly Global[] | undefined;
  code: WasmReader | undefined;
}

/** Is its one memory and its numeric globals all that a call can change? What is not known counts as no. */
function isResettable({ signatures, globals, memories, sections, exports, code }: Declared): boolean {
  if (signatures === undefined || globals === undefined) return false;
  return (
    globals.every(({ type, mutable }) => (mutable ? isNumber(type) : isSimpleType(type))) &&
    memories.every(({ flags }) => (flags & ~1) === 0) &&
    sections.every(({ id }) => id <= Section.dataCount && id !== Section.start) &&
    exports.every(({ name }) => !name.startsWith(ownPrefix)) &&
    (code === undefined || (code.end - code.at <= analysedCodeBytesMax && keepsTables(code)))
  );
}

function isNumber(type: number): boolean {
  return valueLetters[type] !== undefined;
}

function checkHeader(reader: WasmReader): void {
  const { bytes } = reader;
  const word = (at: number): number => new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0);
  if (bytes.length < headerBytes || word(0) !== 0x0061736d) throw malformed("it is not Wasm");
  if (word(4) === 0x0d000100) {
    throw malformed("it is a component (WASI preview 2); build it as a module for WASI preview 1");
  }
  if (word(4) !== 0x01000000) throw malformed("its version is not 1");
  reader.skip(headerBytes);
}

/** @returns the signatures of functions; `undefined` where there are types of another kind. */
function readTypes(from: WasmReader | undefined): (string | undefined)[] | undefined {
  if (from === undefined) return [];
  const signatures: (string | undefined)[] = [];
  const letters = (): string => from.list(() => valueLetters[from.u8()] ?? "?").join("");
  for (let left = from.u32(); left > 0; left--) {
    if (from.u8() !== 0x60) return undefined;
    const signature = `${letters()}:${letters()}`;
    signatures.push(signature);
  }
  return signatures;
}

function readImport(from: WasmReader, signatures: (string | undefined)[] | undefined): WasmImport {
  const module = from.name();
  const name = from.name();
  const kind = from.u8();
  // An unknown import is refused by its name, and its type is not needed.
  const known = kindNames[kind];
  if (known === "function") return { module, name, kind: known, signature: signatures?.[from.u32()] };
  throw malformed(
    `it imports the ${known ?? "thing"} "${name}" of "${module}", and only functions can be had`,
  );
}

function readLimits(from: WasmReader): Limits {
  const flags = from.u8();
  // Addresses of 64 bits, pages of another size, and what may come.
  if ((flags & ~3) !== 0) throw malformed("a memory or table has a form that is not known");
  const min = from.u32();
  return { flags, min, max: (flags & 1) === 0 ? undefined : from.u32() };
}

function readTable(from: WasmReader): Table {
  const type = from.u8();
  if (type !== 0x70 && type !== 0x6f) throw malformed("a table has a form that is not known");
  return { type, ...readLimits(from) };
}

/** @returns `undefined` where one has a form that is not known here. */
function readGlobals(from: WasmReader | undefined): Global[] | undefined {
  if (from === undefined) return [];
  try {
    return from.list(() => {
      const type = from.u8();
      const mutable = from.u8() === 1;
      passConstant(from);
      return { type, mutable };
    });
  } catch (error) {
    if (error instanceof NexError) return undefined;
    throw error;
  }
}

/** The bounds that a module is held to. */
export interface ModuleBounds {
  memoryBytesMax: number;
}

/**
 * The module with its memory exported, and with its globals where a call's state is to be taken back; its memory and
 * tables can't grow beyond the bounds.
 *
 * @throws NexError `artifact_invalid` when it begins with more
 */
export function boundModule(module: WasmModule, { memoryBytesMax }: ModuleBounds): Uint8Array {
  const { bytes, memories, tables, resettable } = module;
  const pageCountMax = Math.min(Math.floor(memoryBytesMax / pageBytes), pagesMax);
  if (memories.length > 1) throw malformed("it has more than one memory");
  const pageCount = memories[0]?.min ?? 0;
  if (pageCount > pageCountMax) {
    throw malformed(
      `its memory begins with ${pageCount * pageBytes} bytes, and a function has ${memoryBytesMax} here`,
    );
  }
  if (tables.reduce((sum, { min }) => sum + min, 0) > tableElementsMax) {
    throw malformed(`its tables have over ${tableElementsMax} elements`);
  }
  const elementsMax = Math.floor(tableElementsMax / Math.max(tables.length, 1));
  const replaced = new Map<number, Uint8Array>();
  replaced.set(
    Section.memory,
    vector(
      memories.map(({ flags, min, max = pagesMax }) => [
        flags | 1,
        ...leb(min),
        ...leb(Math.min(max, pageCountMax)),
      ]),
    ),
  );
  replaced.set(
    Section.table,
    vector(
      tables.map(({ type, flags, min, max = elementsMax }) => [
        type,
        flags | 1,
        ...leb(min),
        ...leb(Math.max(min, Math.min(max, elementsMax))),
      ]),
    ),
  );
  const added = resettable ? stateExports(module) : memories.length > 0 ? [exported(memoryExport, 2, 0)] : [];
  const had = module.exports.filter(({ name }) => !name.startsWith(ownPrefix));
  replaced.set(
    Section.export,
    vector([...had.map(({ name, kind, index }) => exported(name, kind, index)), ...added]),
  );
  const parts: Uint8Array[] = [bytes.subarray(0, headerBytes)];
  for (const { id, start, content } of module.sections) {
    const other = replaced.get(id);
    if (other === undefined) parts.push(bytes.subarray(start, content.end));
    else parts.push(Uint8Array.from([id, ...leb(other.length)]), other);
  }
  return Buffer.concat(parts);
}

/** The name under which a global is exported. */
export function globalExport(index: number): string {
  return `${ownPrefix}global:${index}`;
}

function stateExports({ memories, stateGlobals }: WasmModule): number[][] {
  return [
    ...(memories.length > 0 ? [exported(memoryExport, 2, 0)] : []),
    ...stateGlobals.map((index) => exported(globalExport(index), 3, index)),
  ];
}

function exported(name: string, kind: number, index: number): number[] {
  const text = Buffer.from(name);
  return [...leb(text.length), ...text, kind, ...leb(index)];
}

function vector(items: readonly number[][]): Uint8Array {
  return Buffer.concat([Uint8Array.from(leb(items.length)), ...items.map((item) => Uint8Array.from(item))]);
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) + 0x80);
  bytes.push(left);
  return bytes;
}
