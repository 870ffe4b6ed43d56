import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { findProgram } from "../../host/program.ts";
import { type ArchiveEntry, Bench, imageFiles, tarWith } from "../../testing/base-images.ts";
import { packExt4 } from "../ext4.ts";
import { verifyRootfs } from "../verify.ts";

const skip = process.platform !== "linux" && "a rootfs is built on Linux";
const lacksExt4 = (await findProgram("/usr/sbin/debugfs")) === undefined && "e2fsprogs is not on this host";

/** Files, links of both kinds, and what must not get into a machine. */
const entries: ArchiveEntry[] = [
  { name: "./" },
  { name: "./bin", type: "symlink", linkname: "usr/bin" },
  { name: "./usr/bin/tool", content: "tool", mode: 0o4755 },
  { name: "./usr/bin/same", type: "link", linkname: "./usr/bin/tool" },
  { name: "./bin/through", content: "through a link", mode: 0o755 },
  { name: "./etc/passwd", content: "root::0:0::/:/bin/sh\n" },
  { name: "./etc/shadow", content: "secret", mode: 0o640 },
  { name: "./etc/far", type: "symlink", linkname: "/usr/bin/tool" },
  { name: "./root/", mode: 0o700 },
  { name: "./root/key", content: "secret" },
  { name: "./var/empty/" },
  { name: "./tmp/left", content: "left" },
  { name: "./dev/null", type: "character-device" },
  { name: "./run/pipe", type: "fifo" },
];

suite("a base", { skip }, () => {
  test("that is an archive is below Nex's own files, whatever it is compressed by", async () => {
    await using bench = await Bench.make();
    const archive = await tarWith(entries);
    const first = await bench.build({ base: await bench.write("base.tar", archive) });
    for (const [name, packed] of [
      ["gz", gzipSync(archive)],
      ["zst", zstdCompressSync(archive)],
    ] as const) {
      const other = await bench.build({ base: await bench.write(name, packed) });
      assert.deepEqual([other.directory, other.built], [first.directory, false], name);
    }
    const { directory, manifest, base } = first;
    const at = (place: string): string => join(directory, place);
    assert.equal(await readFile(at("usr/bin/tool"), "utf8"), "tool");
    assert.equal(await readFile(at("usr/bin/same"), "utf8"), "tool");
    assert.equal((await stat(at("usr/bin/tool"))).mode & 0o7777, 0o755);
    assert.equal(await readFile(at("usr/bin/through"), "utf8"), "through a link");
    assert.doesNotMatch(await readFile(at("etc/passwd"), "utf8"), /root::/);
    assert.deepEqual(manifest.links, { "/bin": "usr/bin", "/etc/far": "/usr/bin/tool" });
    assert.deepEqual(manifest.directories, ["/root", "/var/empty"]);
    assert.deepEqual(await readdir(at("tmp")), []);
    assert.equal(existsSync(at("etc/shadow")), false);
    assert.deepEqual(await readdir(at("root")), []);
    assert.deepEqual(base, {
      replaced: ["/etc/passwd"],
      hidden: ["/etc/shadow", "/root"],
      special: ["/dev/null", "/run/pipe"],
    });
    assert.deepEqual((await verifyRootfs(directory)).differences, []);
    assert.deepEqual(await readdir(bench.output), [directory.slice(bench.output.length + 1)]);
  });

  test("that is a directory gives the same as an archive of it, and is not linked to", async () => {
    await using bench = await Bench.make();
    const base = await bench.writeAll("base", { "usr/bin/tool": "tool", "opt/data": "data" });
    await chmod(join(base, "usr/bin/tool"), 0o755);
    await mkdir(join(base, "empty"));
    await symlink("../opt", join(base, "usr/link"));
    const built = await bench.build({ base });
    const archive = await tarWith([
      { name: "usr/link", type: "symlink", linkname: "../opt" },
      { name: "empty/" },
      { name: "opt/data", content: "data" },
      { name: "usr/bin/tool", content: "tool", mode: 0o700 + 0o055 },
    ]);
    const again = await bench.build({ base: await bench.write("base.tar", archive) });
    assert.equal(again.built, false);
    await writeFile(join(base, "usr/bin/tool"), "another");
    assert.equal(await readFile(join(built.directory, "usr/bin/tool"), "utf8"), "tool");
    await writeFile(join(built.directory, "opt/data"), "DATA");
    await chmod(join(built.directory, "empty"), 0o755);
    assert.deepEqual((await verifyRootfs(built.directory)).differences, ["/opt/data has another content"]);
  });

  test("that not everybody may enter has Node and the agent nevertheless, and nothing else", async () => {
    await using bench = await Bench.make();
    const closed = await tarWith([
      { name: "usr/", mode: 0o700 },
      { name: "usr/bin/tool", content: "tool", mode: 0o755 },
      { name: "etc/", mode: 0o750 },
      { name: "etc/words", content: "words" },
    ]);
    const { directory, manifest, base } = await bench.build({ base: await bench.write("base.tar", closed) });
    assert.deepEqual(base?.hidden, ["/etc", "/usr"]);
    const places = Object.keys(manifest.files);
    for (const place of ["/usr/bin/node", "/usr/lib/nex/agent.mjs", "/etc/passwd"])
      assert.ok(places.includes(place));
    for (const place of ["/usr/bin/tool", "/etc/words"]) assert.ok(!places.includes(place), place);
    assert.deepEqual((await verifyRootfs(directory)).differences, []);
  });

  test("with one directory for all programs and libraries takes Node and its libraries in", async () => {
    await using bench = await Bench.make();
    const links = ["bin", "lib", "lib64"].map(
      (name): ArchiveEntry => ({ name, type: "symlink", linkname: `usr/${name}` }),
    );
    const { directory, manifest } = await bench.build({
      base: await bench.write("base.tar", await tarWith(links)),
    });
    assert.ok((await lstat(join(directory, "lib"))).isSymbolicLink());
    for (const place of Object.keys(manifest.files)) assert.doesNotMatch(place, /^\/lib/);
    assert.deepEqual((await verifyRootfs(directory)).differences, []);
  });

  test("becomes an ext4 image with its links and empty directories", { skip: lacksExt4 }, async () => {
    await using bench = await Bench.make();
    const long = `/${"long/".repeat(30)}way`;
    const archive = await tarWith([...entries, { name: "opt/long", type: "symlink", linkname: long }]);
    const tree = await bench.build({ base: await bench.write("base.tar", archive) });
    const image = await packExt4(tree, join(bench.directory, "x.ext4"));
    const { manifest, differences } = await verifyRootfs(image.path);
    assert.deepEqual(differences, []);
    assert.equal(manifest.links?.["/opt/long"], long);
    const again = await packExt4(tree, join(bench.directory, "y.ext4"));
    assert.ok((await readFile(image.path)).equals(await readFile(again.path)));
  });

  test("never leads out of its tree", async () => {
    await using bench = await Bench.make();
    const outside = join(bench.directory, "outside");
    await mkdir(outside);
    const refused: [RegExp, ArchiveEntry[]][] = [
      [/no place in a rootfs/, [{ name: "../outside/a", content: "a" }]],
      [/no place in a rootfs/, [{ name: "a/../../outside/a", content: "a" }]],
      [/no place in a rootfs/, [{ name: "a\nb", content: "a" }]],
      [/"\/up" leads out of it/, [{ name: "up", type: "symlink", linkname: "../outside" }]],
      [/"\/a\/up" leads out of it/, [{ name: "a/up", type: "symlink", linkname: "b/../../../x" }]],
      [/no place in a rootfs/, [{ name: "a", type: "link", linkname: "../agent.mjs" }]],
      [/which is not in it/, [{ name: "a", type: "link", linkname: outside }]],
      [
        /links lead around/,
        [
          { name: "a", type: "symlink", linkname: "b" },
          { name: "b", type: "symlink", linkname: "a" },
          { name: "a/c", content: "c" },
        ],
      ],
      [/"\/usr\/bin" is a link in it/, [{ name: "usr/bin", type: "symlink", linkname: "/opt" }]],
    ];
    for (const [message, bad] of refused) {
      const base = await bench.write("bad.tar", await tarWith(bad));
      await assert.rejects(bench.build({ base }), { code: "rootfs_failed", message }, String(message));
    }
    // A link to a place of this host leads to the one of the same name in the tree.
    const door = `/var/door-${bench.directory.slice(-6)}`;
    const through = await tarWith([
      { name: "door", type: "symlink", linkname: door },
      { name: "door/a", content: "a" },
    ]);
    const { directory } = await bench.build({ base: await bench.write("through.tar", through) });
    assert.equal(existsSync(door), false);
    assert.equal(await readFile(join(directory, door, "a"), "utf8"), "a");
    assert.equal((await readdir(bench.output)).length, 1);
  });

  test("that is cut off, damaged, empty or missing is refused, and leaves nothing", async () => {
    await using bench = await Bench.make();
    const archive = await tarWith(entries);
    const bad: Record<string, Buffer> = {
      "cut.tar": archive.subarray(0, 1_700),
      "cut.tar.gz": gzipSync(archive).subarray(0, 200),
      "words.tar": Buffer.from("no archive at all ".repeat(64)),
      "empty.tar": Buffer.alloc(0),
    };
    for (const [name, content] of Object.entries(bad)) {
      const base = await bench.write(name, content);
      await assert.rejects(
        bench.build({ base }),
        { code: "rootfs_failed", message: /Cannot read the archive/ },
        name,
      );
    }
    await assert.rejects(bench.build({ base: join(bench.directory, "none") }), {
      code: "rootfs_failed",
      message: /not there/,
    });
    assert.equal(existsSync(bench.output) ? (await readdir(bench.output)).length : 0, 0);
  });
});

suite("an image as a base", { skip }, () => {
  const layers = async (): Promise<Buffer[]> => [
    await tarWith([
      { name: "a/one", content: "one" },
      { name: "a/two", content: "two" },
      { name: "b/old", content: "old" },
      { name: "c", content: "a file" },
      { name: "usr/bin/tool", content: "tool" },
      { name: "bin", type: "symlink", linkname: "usr/bin" },
    ]),
    gzipSync(
      await tarWith([
        { name: "a/.wh.two" },
        { name: "b/new", content: "new" },
        { name: "b/.wh..wh..opq" },
        { name: "c/inside", content: "c is a directory now" },
        { name: "bin/more", content: "more" },
        { name: ".wh..wh.plnk", content: "" },
      ]),
    ),
  ];

  test("has its layers over each other, and without what the upper ones take away", async () => {
    await using bench = await Bench.make();
    const files = imageFiles(await layers());
    const { directory } = await bench.build({ base: await bench.writeAll("layout", files) });
    const names = async (place: string): Promise<string[]> => (await readdir(join(directory, place))).sort();
    assert.deepEqual(await names("a"), ["one"]);
    assert.deepEqual(await names("b"), ["new"]);
    assert.deepEqual(await names("c"), ["inside"]);
    assert.deepEqual(await names("usr/bin"), ["more", "node", "tool"]);
    assert.equal(await readlink(join(directory, "bin")), "usr/bin");
  });

  test("may be an archive", async () => {
    await using bench = await Bench.make();
    const files = imageFiles(await layers());
    const archive = await tarWith(Object.entries(files).map(([name, content]) => ({ name, content })));
    const { directory } = await bench.build({ base: await bench.write("image.tar", archive) });
    assert.equal(await readFile(join(directory, "a/one"), "utf8"), "one");
    assert.equal(existsSync(join(directory, "oci-layout")), false);
  });

  test("is refused when it is damaged, for other processors, or not one", async () => {
    await using bench = await Bench.make();
    const layer = await tarWith([{ name: "a", content: "a" }]);
    const whole = imageFiles([layer]);
    const blobs = Object.keys(whole).filter((name) => name.startsWith("blobs/"));
    const layerBlob = blobs.find((name) => whole[name]?.equals(layer)) ?? "";
    const two = imageFiles([await tarWith([{ name: "b", content: "b" }])]);
    const both = [whole, two].flatMap((files) => JSON.parse(String(files["index.json"])).manifests);
    const { [layerBlob]: _, ...withoutLayer } = whole;
    const cases: Record<string, [RegExp, Record<string, Buffer>]> = {
      damaged: [/has another digest/, { ...whole, [layerBlob]: Buffer.from("other") }],
      missing: [/is missing/, withoutLayer],
      other: [/nothing for linux/, imageFiles([layer], { os: "linux", architecture: "riscv64" })],
      several: [
        /holds 2 images/,
        { ...whole, ...two, "index.json": Buffer.from(JSON.stringify({ manifests: both })) },
      ],
      words: [/no JSON/, { ...whole, "index.json": Buffer.from("words") }],
      unnamed: [
        /no SHA-256/,
        { ...whole, "index.json": Buffer.from('{"manifests":[{"digest":"../../x"}]}') },
      ],
    };
    for (const [name, [message, files]] of Object.entries(cases)) {
      const base = await bench.writeAll(name, files);
      await assert.rejects(bench.build({ base }), { code: "rootfs_failed", message }, name);
    }
  });
});
