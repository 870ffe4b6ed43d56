import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { MachineError } from "../errors.ts";
import { buildRootfsDirectory } from "./build.ts";
import { readInterpreter } from "./elf.ts";
import { parseLibraries } from "./libraries.ts";
import type { RootfsOptions } from "./options.ts";

/** A place for trees with an agent beside it, removed at the end of its scope. */
class Output implements AsyncDisposable {
  readonly directory: string;
  readonly options: RootfsOptions;

  constructor(directory: string) {
    this.directory = directory;
    this.options = { output: join(directory, "trees"), agentPath: join(directory, "agent.mjs") };
  }

  static async make(): Promise<Output> {
    const output = new Output(await mkdtemp(join(tmpdir(), "nex-rootfs-")));
    await writeFile(output.options.agentPath, "console.log(1);\n");
    return output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true });
  }
}

async function rejectsAsFailed(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof MachineError, String(error));
    assert.equal(error.code, "rootfs_failed");
    assert.match(error.message, message);
    return true;
  });
}

suite("buildRootfsDirectory", { skip: process.platform !== "linux" }, () => {
  test("makes a tree with Node, its loader, the agent, certificates and mount points", async () => {
    await using output = await Output.make();
    const { directory, manifest, built } = await buildRootfsDirectory(output.options);
    assert.equal(built, true);
    assert.equal(manifest.versions.node, process.version);
    assert.equal(await readFile(join(directory, "/usr/lib/nex/agent.mjs"), "utf8"), "console.log(1);\n");
    assert.equal((await stat(join(directory, "/usr/bin/node"))).mode & 0o777, 0o755);
    const interpreter = await readInterpreter(process.execPath);
    if (interpreter !== undefined) assert.ok(existsSync(join(directory, interpreter)), interpreter);
    assert.match(
      await readFile(join(directory, "/etc/ssl/certs/ca-certificates.crt"), "utf8"),
      /BEGIN CERTIFICATE/,
    );
    for (const name of ["proc", "dev", "tmp", "nex", "work"]) {
      assert.deepEqual(await readdir(join(directory, name)), [], name);
    }
    const told: unknown = JSON.parse(await readFile(join(directory, "/usr/lib/nex/rootfs.json"), "utf8"));
    assert.deepEqual(told, JSON.parse(JSON.stringify(manifest)));
  });

  test("finds the tree of the same inputs, and makes another one for others", async () => {
    await using output = await Output.make();
    const first = await buildRootfsDirectory(output.options);
    const again = await buildRootfsDirectory(output.options);
    assert.deepEqual([again.directory, again.built], [first.directory, false]);
    await writeFile(output.options.agentPath, "console.log(2);\n");
    const other = await buildRootfsDirectory(output.options);
    assert.deepEqual([other.directory === first.directory, other.built], [false, true]);
  });

  test("lets builders run at the same time, and leaves one tree and nothing unfinished", async () => {
    await using output = await Output.make();
    const all = await Promise.all([1, 2, 3, 4].map(() => buildRootfsDirectory(output.options)));
    assert.equal(new Set(all.map(({ directory }) => directory)).size, 1);
    assert.equal(all.filter(({ built }) => built).length, 1);
    assert.equal((await readdir(output.options.output)).length, 1);
  });

  test("builds a damaged tree anew, and removes what a builder left that died", async () => {
    await using output = await Output.make();
    const { directory } = await buildRootfsDirectory(output.options);
    await truncate(join(directory, "/etc/passwd"));
    const abandoned = join(output.options.output, ".building-0");
    await mkdir(abandoned);
    await utimes(abandoned, 0, 0);
    const again = await buildRootfsDirectory(output.options);
    assert.deepEqual([again.directory, again.built], [directory, true]);
    assert.notEqual((await stat(join(directory, "/etc/passwd"))).size, 0);
    assert.equal((await readdir(output.options.output)).length, 1);
  });

  test("takes further files, but none outside the tree or under a mount", async () => {
    await using output = await Output.make();
    const path = output.options.agentPath;
    const { directory } = await buildRootfsDirectory({ ...output.options, files: { "/opt/more.txt": path } });
    assert.ok(existsSync(join(directory, "/opt/more.txt")));
    for (const place of ["/../up", "relative", "/proc/file", "/nex", "/a/"]) {
      const refused = buildRootfsDirectory({ ...output.options, files: { [place]: path } });
      await rejectsAsFailed(refused, /no place in a rootfs/);
    }
  });

  test("takes a Node that a link leads to as a file", async () => {
    await using output = await Output.make();
    const nodePath = join(output.directory, "node");
    await symlink(process.execPath, nodePath);
    const { directory } = await buildRootfsDirectory({ ...output.options, nodePath });
    assert.ok((await lstat(join(directory, "/usr/bin/node"))).isFile());
  });

  test("says what is missing or no program", async () => {
    await using output = await Output.make();
    const { options } = output;
    await rejectsAsFailed(
      buildRootfsDirectory({ ...options, nodePath: options.agentPath }),
      /cut off|not a 64-bit ELF/,
    );
    await rejectsAsFailed(
      buildRootfsDirectory({ ...options, agentPath: "/nowhere/agent" }),
      /\/nowhere\/agent/,
    );
    await rejectsAsFailed(buildRootfsDirectory({ ...options, nodePath: "/nowhere/node" }), /\/nowhere\/node/);
  });
});

test("parseLibraries reads what the loaders of glibc and musl print", () => {
  const glibc = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so (0x3)\n";
  assert.deepEqual(parseLibraries("node", "/lib64/ld.so", glibc), ["/lib64/ld.so", "/lib/libc.so.6"]);
  const musl = "\t/lib/ld-musl.so (0x1)\n\tlibstdc++.so.6 => /usr/lib/libstdc++.so.6 (0x2)\n";
  assert.deepEqual(parseLibraries("node", "/lib/ld-musl.so", musl), [
    "/lib/ld-musl.so",
    "/usr/lib/libstdc++.so.6",
  ]);
  assert.throws(() => parseLibraries("node", "/lib64/ld.so", "\tlibx.so => not found\n"), {
    code: "rootfs_failed",
  });
});
