import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConsoleTail, consoleBytesMax } from "./console-tail.ts";

function tailOf(...chunks: (string | Uint8Array)[]): string {
  const tail = new ConsoleTail();
  for (const chunk of chunks) tail.add(Buffer.from(chunk));
  return tail.text();
}

suite("ConsoleTail", () => {
  test("keeps the last bytes, regardless of chunk sizes", () => {
    assert.equal(tailOf("one\n", "two\n"), "one\ntwo\n");
    assert.equal(tailOf("a".repeat(5000), "b"), `${"a".repeat(consoleBytesMax - 1)}b`);
    assert.equal(tailOf("b", "a".repeat(5000)), "a".repeat(consoleBytesMax));
  });

  test("returns at most 4 KiB even for invalid UTF-8", () => {
    for (const bytes of [
      Buffer.alloc(9000, 0xff),
      Buffer.from("€".repeat(3000)),
      Buffer.from(`x${"😀".repeat(2000)}`),
    ]) {
      const text = tailOf(bytes);
      assert.ok(Buffer.byteLength(text) <= consoleBytesMax);
      assert.ok(Buffer.byteLength(text) > consoleBytesMax - 12);
    }
  });
});
