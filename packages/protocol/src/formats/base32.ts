/** Base32 (RFC 4648) without padding, used for nkeys, token ids and workload ids. */

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** Extended hex alphabet, in lower case. */
export const base32Hex = "0123456789abcdefghijklmnopqrstuv";

export function encodeBase32(bytes: Uint8Array, characters = alphabet): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += characters[(value >> bits) & 31];
      value &= (1 << bits) - 1;
    }
  }
  return bits === 0 ? text : text + characters[(value << (5 - bits)) & 31];
}

/** Characters outside the alphabet count as zero. Validate untrusted text first. */
export function decodeBase32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const character of text) {
    value = (value << 5) | Math.max(0, alphabet.indexOf(character));
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 0xff);
      value &= (1 << bits) - 1;
    }
  }
  return Buffer.from(bytes);
}
