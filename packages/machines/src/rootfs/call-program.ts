/**
 * Builds the two smallest guest programs: static ELF files for x86-64 that make a few system calls in sequence. A
 * shell can't make these calls, and a machine must not contain another interpreter.
 *
 * The file format follows the System V ABI (ELF-64 object file format), the calling convention syscall(2), and the
 * numbers are those of Linux on x86-64.
 */

/** Argument of a call: a number, the address of bytes, or an address in scratch memory. */
type Argument = number | Buffer | { spareOffset: number };

/** A system call with at most three arguments. */
export interface SystemCall {
  number: number;
  args: readonly Argument[];
}

const loadAddress = 0x400000;
const headerBytes = 64;
const programHeaderBytes = 56;
const codeOffset = headerBytes + programHeaderBytes;
/** Scratch memory after the file, for data that calls read. */
const spareBytes = 4_096;
const readWriteExecute = 7;
/** `mov <register>, imm32`, extended by its sign, for rdi, rsi and rdx. */
const argumentCodes = [
  [0x48, 0xc7, 0xc7],
  [0x48, 0xc7, 0xc6],
  [0x48, 0xc7, 0xc2],
];
const syscall = [0x0f, 0x05];
const exitNumber = 60;
const executeNumber = 59;

/**
 * Builds a program.
 *
 * @param calls Made in order. If one fails, the program exits with its position as status, counted from 1.
 * @param last What follows: `exit` with 0, or `execute` the program named by the first argument, with all arguments.
 */
export function callProgram(calls: readonly SystemCall[], last: "exit" | "execute"): Buffer {
  const bytesOf = (place: (argument: Argument) => number): Buffer => {
    const steps = calls.flatMap(({ number, args }, index) => [
      ...args.flatMap((argument, at) => [...(argumentCodes[at] ?? []), ...int32(place(argument))]),
      ...[0xb8, ...int32(number), ...syscall],
      ...unlessFailed(index + 1),
    ]);
    return Buffer.from([...steps, ...(last === "exit" ? exit(0) : execute(calls.length + 1))]);
  };
  // The length of the code does not depend on the address of the data.
  const dataOffset = codeOffset + bytesOf(() => 0).length;
  const data = calls.flatMap(({ args }) => args.filter((argument) => Buffer.isBuffer(argument)));
  const dataBytes = data.reduce((sum, bytes) => sum + bytes.length, 0);
  const code = bytesOf((argument) => {
    if (typeof argument === "number") return argument;
    const isData = Buffer.isBuffer(argument);
    const before = isData
      ? data.slice(0, data.indexOf(argument)).reduce((sum, { length }) => sum + length, 0)
      : 0;
    return loadAddress + dataOffset + (isData ? before : dataBytes + argument.spareOffset);
  });
  return Buffer.concat([header(dataOffset + dataBytes), code, ...data]);
}

function header(fileBytes: number): Buffer {
  const bytes = Buffer.alloc(codeOffset);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  const programType = 2;
  const machine = 62;
  bytes.writeUInt16LE(programType, 16);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(loadAddress + codeOffset), 24);
  bytes.writeBigUInt64LE(BigInt(headerBytes), 32);
  bytes.writeUInt16LE(headerBytes, 52);
  bytes.writeUInt16LE(programHeaderBytes, 54);
  bytes.writeUInt16LE(1, 56);
  const segment = bytes.subarray(headerBytes);
  segment.writeUInt32LE(1, 0);
  segment.writeUInt32LE(readWriteExecute, 4);
  segment.writeBigUInt64LE(BigInt(loadAddress), 16);
  segment.writeBigUInt64LE(BigInt(loadAddress), 24);
  segment.writeBigUInt64LE(BigInt(fileBytes), 32);
  segment.writeBigUInt64LE(BigInt(fileBytes + spareBytes), 40);
  segment.writeBigUInt64LE(4_096n, 48);
  return bytes;
}

/** `test rax, rax`, `jns` over the end of the program. */
function unlessFailed(status: number): number[] {
  const end = exit(status);
  return [0x48, 0x85, 0xc0, 0x79, end.length, ...end];
}

/** `mov edi, status`, `mov eax, 60`, `syscall`. */
function exit(status: number): number[] {
  return [0xbf, ...int32(status), 0xb8, ...int32(exitNumber), ...syscall];
}

/** At the start the stack has the number of arguments, their addresses, a zero, and the addresses of the environment. */
function execute(status: number): number[] {
  return [
    ...[0x48, 0x8b, 0x7c, 0x24, 0x10], // mov rdi, [rsp+16]
    ...[0x48, 0x8d, 0x74, 0x24, 0x10], // lea rsi, [rsp+16]
    ...[0x48, 0x8b, 0x04, 0x24], // mov rax, [rsp]
    ...[0x48, 0x8d, 0x54, 0xc4, 0x10], // lea rdx, [rsp+rax*8+16]
    ...[0xb8, ...int32(executeNumber), ...syscall],
    ...exit(status),
  ];
}

function int32(value: number): number[] {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return [...bytes];
}
