import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { tarOf, zipOf } from "./archives.fixture.ts";
import { unpackNatsServer } from "./unpack.ts";

const program = "\x7fELF program";

test("unpackNatsServer takes the program out of a zip archive, a tar.gz archive, or takes it as it is", () => {
  const files = [
    { name: "nats-server-v2/", content: "" },
    { name: "nats-server-v2/README.md", content: "words" },
    { name: "nats-server-v2/nats-server", content: program },
  ];
  assert.equal(unpackNatsServer(zipOf(files)).toString(), program);
  assert.equal(unpackNatsServer(gzipSync(tarOf(files))).toString(), program);
  assert.equal(unpackNatsServer(Buffer.from(program)).toString(), program);
});

test("unpackNatsServer says so when the program is not in the archive", () => {
  const files = [{ name: "nats-server/README.md", content: "words" }];
  const expected = { name: "FetchFailure", message: 'the archive has no file named "nats-server"' };
  assert.throws(() => unpackNatsServer(zipOf(files)), expected);
  assert.throws(() => unpackNatsServer(gzipSync(tarOf(files))), expected);
});

test("unpackNatsServer says so when the archive is damaged", () => {
  const cutShort = gzipSync(tarOf([{ name: "nats-server", content: program }]).subarray(0, 520));
  assert.throws(
    () => unpackNatsServer(cutShort),
    /the archive can't be read: it is not a tar archive, or cut short/,
  );
  assert.throws(
    () => unpackNatsServer(Buffer.from("\x1f\x8bnonsense", "latin1")),
    /the archive can't be read/,
  );
  assert.throws(
    () => unpackNatsServer(Buffer.from("PKnonsense")),
    /the archive can't be read: it is not a zip archive/,
  );
});
