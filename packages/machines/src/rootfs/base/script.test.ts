import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { findProgram } from "../../host/program.ts";
import { Bench } from "../../testing/base-images.ts";
import { findLibraries } from "../libraries.ts";

/** The programs of this host that scripts of the tests call. */
const tools = ["sh", "ls", "cat", "mkdir", "chmod", "ln", "sleep"];

/** Why scripts can't be run here, if they can't. */
function unmetRequirement(): string | false {
  if (process.platform !== "linux" || process.arch !== "x64") return "scripts run on Linux for x64";
  try {
    execFileSync(
      "/usr/bin/unshare",
      ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--net", "/bin/true"],
      {
        stdio: "ignore",
      },
    );
    return false;
  } catch {
    return "this host lets us have no namespaces";
  }
}

/** A base with a shell and the libraries that it needs. */
async function writeBase(bench: Bench): Promise<string> {
  const base = join(bench.directory, "base");
  await mkdir(join(base, "bin"), { recursive: true });
  for (const name of tools) {
    const path = (await findProgram(name)) ?? assert.fail(`"${name}" is not here`);
    await copyFile(path, join(base, "bin", name));
    for (const library of await findLibraries(path)) {
      await mkdir(join(base, library, ".."), { recursive: true });
      await copyFile(library, join(base, library));
    }
  }
  await symlink("bin/sh", join(base, "shell"));
  return base;
}

suite("a script in a base", { skip: unmetRequirement() }, () => {
  test("changes what is in the tree, as its root, and leaves the base as it was", async () => {
    await using bench = await Bench.make();
    const base = await writeBase(bench);
    await bench.write("base/etc/motd", "old");
    const path = await bench.write(
      "script.sh",
      `set -e
echo "as $(cat /proc/self/uid_map | { read -r inside _; echo "$inside"; })"
mkdir -p /opt/made /opt/empty
echo made >/opt/made/file
chmod 755 /opt/made/file
ln -s made/file /opt/link
echo new >/etc/motd
echo lost >/tmp/lost
ls / >&2
`,
    );
    const said: Buffer[] = [];
    const { directory, manifest } = await bench.build({
      base,
      script: { path, onOutput: (chunk) => said.push(chunk) },
    });
    assert.match(Buffer.concat(said).toString(), /^as 0$/m);
    assert.equal(await readFile(join(directory, "opt/made/file"), "utf8"), "made\n");
    assert.equal(await readFile(join(directory, "etc/motd"), "utf8"), "new\n");
    assert.equal(await readFile(join(base, "etc/motd"), "utf8"), "old");
    assert.equal(manifest.files["/opt/made/file"]?.executable, true);
    assert.deepEqual(manifest.links, { "/opt/link": "made/file", "/shell": "bin/sh" });
    assert.deepEqual(manifest.directories, ["/opt/empty"]);
    assert.deepEqual(await readdir(join(directory, "tmp")), []);
    assert.equal((await readdir(bench.output)).length, 1);
  });

  test("reaches nothing of this host: no file, no process, no network", async () => {
    await using bench = await Bench.make();
    const base = await writeBase(bench);
    const path = await bench.write(
      "script.sh",
      `ls -a ${bench.directory} && echo reached
cat /proc/[0-9]*/comm | while read -r name; do echo "process $name"; done
cat /proc/net/dev
ls -a /nex /..
`,
    );
    let said = "";
    await bench.build({ base, script: { path, onOutput: (chunk) => (said += chunk.toString()) } });
    assert.doesNotMatch(said, /reached|process node/);
    assert.deepEqual(
      [...said.matchAll(/^\s*(\w+):/gm)].map(([, name]) => name).filter((name) => name !== "ls"),
      ["lo"],
    );
    assert.doesNotMatch(said, /^root$/m);
  });

  test("that fails, takes too long or has no shell is told with its last words, and leaves nothing", async () => {
    await using bench = await Bench.make();
    const base = await writeBase(bench);
    const refused = async (text: string, message: RegExp, at = base, timeoutMs = 30_000): Promise<void> => {
      const path = await bench.write("script.sh", text);
      await assert.rejects(bench.build({ base: at, script: { path, timeoutMs } }), {
        code: "rootfs_failed",
        message,
      });
    };
    await refused("echo it is so; exit 3", /script\.sh" in the base: it ended with 3: it is so$/);
    await refused("sleep 600 & sleep 600", /took longer than 1000 ms$/, base, 1_000);
    await refused("true", /has no \/bin\/sh/, await bench.writeAll("bare", { "etc/motd": "bare" }));
    await assert.rejects(bench.build({ script: { path: "script.sh" } }), { message: /without a base/ });
    await assert.rejects(bench.build({ base, script: { path: "/nowhere" } }), { message: /can't be read/ });
    assert.equal(existsSync(bench.output) ? (await readdir(bench.output)).length : 0, 0);
  });
});
