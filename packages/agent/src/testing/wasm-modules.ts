/** Modules for tests, from their text form. */
import wabt from "wabt";

const features = {
  bulk_memory: true,
  reference_types: true,
  simd: true,
  threads: true,
  multi_memory: true,
  memory64: true,
  exceptions: true,
};

/** Translates a module; the text is that between `(module` and its end. */
export async function assemble(fields: string): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  const module = parseWat("test.wat", `(module ${fields})`, features);
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

/** The functions that most tests import. They have to stand first. */
export const imports = `
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))`;

/** \`$write\` writes a part of the memory to a descriptor, \`$digit\` a number of one digit. They use the bytes from 64 to 79. */
export const tools = `
  (func $write (param $fd i32) (param $from i32) (param $size i32)
    (i32.store (i32.const 64) (local.get $from))
    (i32.store (i32.const 68) (local.get $size))
    (drop (call $fd_write (local.get $fd) (i32.const 64) (i32.const 1) (i32.const 72))))
  (func $digit (param $value i32)
    (i32.store8 (i32.const 76) (i32.add (i32.const 48) (local.get $value)))
    (call $write (i32.const 1) (i32.const 76) (i32.const 1)))
  (func $read (param $to i32) (param $size i32) (result i32)
    (i32.store (i32.const 64) (local.get $to))
    (i32.store (i32.const 68) (local.get $size))
    (drop (call $fd_read (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 72)))
    (i32.load (i32.const 72)))`;
