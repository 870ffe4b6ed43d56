/** Finds what the code of a module can change in its instance beside memory and globals. */
import { malformed, type WasmReader } from "./reader.ts";

/** Kinds of operands that follow an instruction. */
const none = 0;
const number = 1;
const twoNumbers = 2;
const place = 3;
const blockType = 4;
const labels = 5;
const types = 6;
const bytes4 = 7;
const bytes8 = 8;
/** One that writes tables or drops segments, or that is not known here. */
const other = 255;

const operands = new Uint8Array(256).fill(other);
const set = (first: number, last: number, kind: number): void => {
  operands.fill(kind, first, last + 1);
};
set(0x00, 0x01, none);
set(0x02, 0x04, blockType);
operands[0x05] = none;
operands[0x0b] = none;
set(0x0c, 0x0d, number);
operands[0x0e] = labels;
operands[0x0f] = none;
operands[0x10] = number;
operands[0x11] = twoNumbers;
operands[0x12] = number;
operands[0x13] = twoNumbers;
set(0x1a, 0x1b, none);
operands[0x1c] = types;
set(0x20, 0x25, number);
set(0x28, 0x3e, place);
set(0x3f, 0x42, number);
operands[0x43] = bytes4;
operands[0x44] = bytes8;
set(0x45, 0xc4, none);
operands[0xd0] = number;
operands[0xd1] = none;
operands[0xd2] = number;

/**
 * Says whether code leaves everything but memory and globals as it was: it writes no table and drops no segment. What is
 * not known here counts as if it did. The code must be valid, which the engine checks.
 *
 * @param code The content of the code section.
 * @throws NexError `artifact_invalid` when it is cut off
 */
export function keepsTables(code: WasmReader): boolean {
  for (let left = code.u32(); left > 0; left--) {
    const body = code.part();
    for (let groups = body.u32(); groups > 0; groups--) {
      body.u32();
      if (!isSimpleType(body.u8())) return false;
    }
    while (!body.done) if (!passInstruction(body)) return false;
  }
  return true;
}

function passInstruction(code: WasmReader): boolean {
  const opcode = code.u8();
  switch (operands[opcode]) {
    case none:
      return true;
    case number:
      code.skipNumber();
      return true;
    case twoNumbers:
      code.skipNumber();
      code.skipNumber();
      return true;
    case place:
      passPlace(code);
      return true;
    case blockType:
      return passBlockType(code);
    case labels:
      for (let left = code.u32(); left >= 0; left--) code.skipNumber();
      return true;
    case types:
      return code.list(() => isSimpleType(code.u8())).every(Boolean);
    case bytes4:
      code.skip(4);
      return true;
    case bytes8:
      code.skip(8);
      return true;
  }
  if (opcode === 0xfc) return passBulk(code);
  if (opcode === 0xfd) return passVector(code);
  return false;
}

/** Alignment and offset; a bit of the first says that the number of a memory follows. */
function passPlace(code: WasmReader): void {
  if ((code.u32() & 0x40) !== 0) code.skipNumber();
  code.skipNumber();
}

function passBlockType(code: WasmReader): boolean {
  const first = code.bytes[code.at] ?? 0;
  // A reference type with a heap type behind it.
  if (first === 0x63 || first === 0x64) return false;
  code.skipNumber();
  return true;
}

function passBulk(code: WasmReader): boolean {
  const opcode = code.u32();
  // Conversions that saturate.
  if (opcode <= 7) return true;
  // memory.init, memory.copy; memory.fill, table.size.
  if (opcode === 8 || opcode === 10) code.skipNumber();
  else if (opcode !== 11 && opcode !== 16) return false;
  code.skipNumber();
  return true;
}

function passVector(code: WasmReader): boolean {
  const opcode = code.u32();
  const lane = opcode >= 84 && opcode <= 91;
  if (opcode <= 11 || lane || opcode === 92 || opcode === 93) passPlace(code);
  if (opcode === 12 || opcode === 13) code.skip(16);
  if (lane || (opcode >= 21 && opcode <= 34)) code.skip(1);
  return opcode <= 0x113;
}

/** A number, a vector, or a reference to any function or to something of the host. */
export function isSimpleType(type: number): boolean {
  return (type >= 0x7b && type <= 0x7f) || type === 0x70 || type === 0x6f;
}

/**
 * Passes by an expression that is constant.
 *
 * @throws NexError `artifact_invalid` for what is not known here
 */
export function passConstant(code: WasmReader): void {
  for (;;) {
    const opcode = code.u8();
    if (opcode === 0x0b) return;
    const isConstant =
      (opcode >= 0x41 && opcode <= 0x44) || opcode === 0x23 || opcode === 0xd0 || opcode === 0xd2;
    // Extended ones may add, subtract and multiply.
    const isArithmetic = (opcode >= 0x6a && opcode <= 0x6c) || (opcode >= 0x7c && opcode <= 0x7e);
    if (!isConstant && !isArithmetic && opcode !== 0xfd)
      throw malformed("a constant has a form that is not known");
    code.at--;
    if (!passInstruction(code)) throw malformed("a constant has a form that is not known");
  }
}
