const blockBytes = 512;

/**
 * Takes one plain file out of a tar archive that is unpacked already.
 *
 * @param matches Is asked for the name of each plain file in turn; the first that it accepts is taken.
 * @returns `undefined` when no name is accepted.
 * @throws RangeError when the archive is damaged.
 */
export function readTarEntry(archive: Buffer, matches: (name: string) => boolean): Buffer | undefined {
  let offset = 0;
  while (offset + blockBytes <= archive.length) {
    const header = archive.subarray(offset, offset + blockBytes);
    if (header.every((byte) => byte === 0)) return undefined;
    const name = text(header, 0, 100);
    const bytes = Number.parseInt(text(header, 124, 12), 8);
    const type = text(header, 156, 1);
    const start = offset + blockBytes;
    if (Number.isNaN(bytes) || start + bytes > archive.length)
      throw new RangeError("it is not a tar archive, or cut short");
    if ((type === "" || type === "0") && matches(name)) return archive.subarray(start, start + bytes);
    offset = start + Math.ceil(bytes / blockBytes) * blockBytes;
  }
  return undefined;
}

function text(header: Buffer, start: number, bytes: number): string {
  const end = header.indexOf(0, start);
  return header.toString("utf8", start, end === -1 || end > start + bytes ? start + bytes : end).trim();
}
