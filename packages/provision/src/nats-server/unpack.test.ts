import assert from "node:assert/strict";
import { test } from "node:test";
import { tarGzOf, zipOf } from "../testing/archives.ts";
import { unpackNatsServer } from "./unpack.ts";

const program = "\x7fELF program";

test("unpackNatsServer takes the program out of a zip archive or a tar.gz archive, or takes it as it is", async () => {
  const files = { "v2/": "", "v2/README.md": "words", "v2/nats-server": program };
  assert.equal((await unpackNatsServer(zipOf(files))).toString(), program);
  assert.equal((await unpackNatsServer(await tarGzOf(files))).toString(), program);
  assert.equal((await unpackNatsServer(Buffer.from(program))).toString(), program);
});

test("unpackNatsServer refuses an archive without the program", async () => {
  const files = { "nats-server/README.md": "words" };
  const expected = { name: "FetchFailure", message: 'the archive has no file named "nats-server"' };
  await assert.rejects(unpackNatsServer(zipOf(files)), expected);
  await assert.rejects(unpackNatsServer(await tarGzOf(files)), expected);
});
