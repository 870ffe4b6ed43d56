/** Writes cpio archives in the `newc` format, which Linux accepts as an initramfs. */

/** A member of an archive. Its parent directories must precede it. */
export interface CpioEntry {
  /** Path without a leading slash. */
  path: string;
  /** Type and permissions (`st_mode`). */
  mode: number;
  data?: Buffer;
  /** Major and minor number of a device. */
  device?: readonly [major: number, minor: number];
}

const alignmentBytes = 4;
const trailer: CpioEntry = { path: "TRAILER!!!", mode: 0 };

/** All members belong to root with time 0, so that equal entries give equal bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  return Buffer.concat([...entries, trailer].flatMap((entry, index) => member(entry, index)));
}

function member({ path, mode, data = Buffer.alloc(0), device = [0, 0] }: CpioEntry, index: number): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  const linkCount = 1;
  const numbers = [
    ...[index + 1, mode, 0, 0, linkCount, 0, data.length],
    ...[0, 0, ...device, name.length, 0],
  ];
  const fields = numbers.map((number) => number.toString(16).padStart(8, "0").toUpperCase());
  const header = Buffer.concat([Buffer.from(`070701${fields.join("")}`), name]);
  return [padded(header), padded(data)];
}

function padded(bytes: Buffer): Buffer {
  const short = bytes.length % alignmentBytes;
  return short === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(alignmentBytes - short)]);
}
