/** Small archives for the tests of what reads them. */
import { crc32, deflateRawSync } from "node:zlib";

/** One file of a small zip archive. */
export interface ZipFile {
  name: string;
  content: string | Buffer;
  deflate?: boolean;
  /** Size that the directory claims; the true size when absent. */
  statedBytes?: number;
}

/** A zip archive as common tools write it. */
export function zipOf(files: ZipFile[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const file of files) {
    const content = Buffer.from(file.content);
    const packed = file.deflate ? deflateRawSync(content) : content;
    const name = Buffer.from(file.name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(file.deflate ? 8 : 0, 4);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(file.statedBytes ?? content.length, 18);
    common.writeUInt16LE(name.length, 22);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\x00", "latin1"), common, place, name);
    const part = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), common, name, packed]);
    parts.push(part);
    offset += part.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, entries, end]);
}

/** A tar archive with plain files and, for a name that ends in `/`, folders. */
export function tarOf(files: { name: string; content: string }[]): Buffer {
  const parts = files.flatMap(({ name, content }) => {
    const header = Buffer.alloc(512);
    header.write(name);
    header.write(`${Buffer.byteLength(content).toString(8).padStart(11, "0")}\0`, 124);
    header.write(name.endsWith("/") ? "5" : "0", 156);
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512);
    body.write(content);
    return [header, body];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}
