import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../fixtures/random.ts";
import { base32Hex, decodeBase32, encodeBase32 } from "./base32.ts";

// RFC 4648, section 10, without padding.
const rfcVectors = [
  ["", "", ""],
  ["f", "MY", "co"],
  ["fo", "MZXQ", "cpng"],
  ["foo", "MZXW6", "cpnmu"],
  ["foob", "MZXW6YQ", "cpnmuog"],
  ["fooba", "MZXW6YTB", "cpnmuoj1"],
  ["foobar", "MZXW6YTBOI", "cpnmuoj1e8"],
] as const;

test("encodeBase32 and decodeBase32 match the vectors of RFC 4648", () => {
  for (const [plain, text, hex] of rfcVectors) {
    assert.equal(encodeBase32(Buffer.from(plain)), text);
    assert.equal(encodeBase32(Buffer.from(plain), base32Hex), hex);
    assert.equal(decodeBase32(text).toString(), plain);
  }
});

test("decodeBase32 reverses encodeBase32", () => {
  const random = seededRandom(1);
  for (let length = 0; length < 70; length++) {
    const bytes = random.bytes(length);
    assert.deepEqual(decodeBase32(encodeBase32(bytes)), bytes);
  }
});
