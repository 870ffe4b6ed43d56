import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { download } from "./download.ts";
import { findFirecracker } from "./find-firecracker.ts";
import { installFirecracker, installPackage } from "./install.ts";
import { tarGzOf } from "./testing/archives.ts";

const version = "1.12.1";

/** An archive like those of releases. Its programs print their version and exit. */
async function release(programs: Record<string, string>): Promise<Buffer> {
  const nameOf = (name: string): string => `release-v${version}-x86_64/${name}-v${version}-x86_64`;
  const files = Object.entries(programs).map(([name, words]) => [nameOf(name), `#!/bin/sh\necho ${words}\n`]);
  return await tarGzOf({ [`${nameOf("firecracker")}.debug`]: "symbols", ...Object.fromEntries(files) });
}

const programs = { firecracker: "Firecracker v1.12.1", jailer: "Jailer v1.12.1" };
const files: Record<string, Buffer> = {
  "/whole.tgz": await release(programs),
  "/without.tgz": await release({ firecracker: programs.firecracker }),
  "/mixed.tgz": await release({ ...programs, jailer: "Jailer v1.11.0" }),
  "/broken.tgz": await release({ ...programs, jailer: "words; exit 1" }),
  "/words.tgz": Buffer.from("no archive"),
  "/linux-image-6.1_amd64.deb": Buffer.from("a kernel"),
  "/other.deb": Buffer.from("another"),
};
const answers: Record<string, (response: ServerResponse) => void> = {
  "/cut.tgz": (response) => {
    response.writeHead(200, { "content-length": "100000" });
    response.write("only this");
    setImmediate(() => response.destroy());
  },
  "/moved.tgz": (response) => response.writeHead(302, { location: "/whole.tgz" }).end(),
  "/around.tgz": (response) => response.writeHead(302, { location: "/around.tgz" }).end(),
  "/elsewhere.tgz": (response) => response.writeHead(302, { location: "http://192.0.2.1/whole.tgz" }).end(),
  "/file.tgz": (response) => response.writeHead(302, { location: "file:///etc/passwd" }).end(),
};
const http = createServer((request, response) => {
  const path = request.url ?? "";
  const answer = answers[path];
  if (answer !== undefined) return answer(response);
  if (files[path] === undefined) response.statusCode = 404;
  response.end(files[path] ?? "not here");
});
let cacheDirectory: string;
let origin: string;

before(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), "nex-install-"));
  await once(http.listen(0, "127.0.0.1"), "listening");
  origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
});
after(async () => {
  http.close();
  await rm(cacheDirectory, { recursive: true, force: true });
});

const hashOf = (path: string): string =>
  createHash("sha256")
    .update(files[path] ?? "")
    .digest("hex");

async function refused(
  path: string,
  sha256: string,
  message: RegExp,
  code = "install_failed",
): Promise<void> {
  const installing = installFirecracker({ url: origin + path, sha256 }, cacheDirectory);
  await assert.rejects(installing, { code, message }, path);
  assert.deepEqual(await readdir(cacheDirectory), [], `${path} leaves nothing`);
}

test("installFirecracker takes nothing that is not whole and as it was pinned, and leaves nothing (S12)", async () => {
  const whole = hashOf("/whole.tgz");
  await refused("/whole.tgz", "", /is no SHA-256/, "usage");
  await refused("/whole.tgz", "0".repeat(64), new RegExp(`has the SHA-256 ${whole}, not 0{64}$`));
  await refused("/cut.tgz", whole, /the download failed/);
  await refused("/gone.tgz", whole, /the answer was 404/);
  await refused("/elsewhere.tgz", whole, /leads on to http:\/\/192\.0\.2\.1, which is not followed/);
  await refused("/file.tgz", whole, /is not followed/);
  await refused("/around.tgz", whole, /leads on more than 5 times/);
  await refused("/words.tgz", hashOf("/words.tgz"), /it is no archive/);
  await refused("/without.tgz", hashOf("/without.tgz"), /the archive has no "jailer"/);
  await refused("/mixed.tgz", hashOf("/mixed.tgz"), /has Firecracker 1\.12\.1 and the jailer of 1\.11\.0/);
  await refused(
    "/broken.tgz",
    hashOf("/broken.tgz"),
    /"jailer", asked for its version, exited with 1 \(words\)/,
  );
});

test("download refuses what is larger than it may be", async () => {
  const url = `${origin}/whole.tgz`;
  await assert.rejects(download({ url, sha256: hashOf("/whole.tgz"), bytesMax: 10 }), {
    name: "FetchFailure",
    message: "it is larger than 10 bytes",
  });
});

test("installFirecracker puts both programs where findFirecracker sees them, and may do so again", async () => {
  const env = { PATH: "/nowhere" };
  const byName = { program: "firecracker", jailer: "jailer" };
  assert.deepEqual(findFirecracker(cacheDirectory, env), { ...byName, origin: "missing" });
  const folder = join(cacheDirectory, `firecracker-${version}`);
  for (const path of ["/whole.tgz", "/moved.tgz"]) {
    const source = { url: origin + path, sha256: hashOf("/whole.tgz").toUpperCase() };
    assert.deepEqual(await installFirecracker(source, cacheDirectory), { version, folder });
    assert.deepEqual(await readdir(cacheDirectory), [`firecracker-${version}`]);
    assert.deepEqual((await readdir(folder)).sort(), ["firecracker", "jailer"]);
  }
  const found = { program: join(folder, "firecracker"), jailer: join(folder, "jailer"), origin: "installed" };
  assert.equal((await stat(found.jailer)).mode & 0o777, 0o755);
  assert.deepEqual(findFirecracker(cacheDirectory, env), found);
  const onPath = findFirecracker(cacheDirectory, { PATH: `/nowhere:${folder}` });
  assert.deepEqual(onPath, { ...byName, origin: "path" });
  await cp(folder, join(cacheDirectory, "firecracker-for-tests"), { recursive: true });
  await rm(found.jailer);
  assert.deepEqual(findFirecracker(cacheDirectory, env), { ...byName, origin: "missing" });
});

test("installPackage takes a package of the name that is needed, whole, in the place of the previous one", async () => {
  const directory = join(cacheDirectory, "packages");
  const install = (path: string, sha256 = hashOf(path)): Promise<string> =>
    installPackage({ url: origin + path, sha256 }, "linux-image-", directory);
  await assert.rejects(install("/other.deb"), {
    code: "install_failed",
    message: /its name has to be linux-image-/,
  });
  await assert.rejects(install("/linux-image-6.1_amd64.deb", "1".repeat(64)), { message: /has the SHA-256/ });
  await assert.rejects(readdir(directory), { code: "ENOENT" });
  const path = await install("/linux-image-6.1_amd64.deb");
  assert.equal(path, join(directory, "linux-image-6.1_amd64.deb"));
  await writeFile(path, "damaged");
  await install("/linux-image-6.1_amd64.deb");
  assert.equal(await readFile(path, "utf8"), "a kernel");
  assert.deepEqual(await readdir(directory), ["linux-image-6.1_amd64.deb"]);
});
