import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { artifactWindowBytes } from "@nexengine/protocol/agent";
import { ArtifactFile } from "./artifact-file.ts";

/** A file to be, in a folder that goes with the block. */
class Place implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "nex-artifact-"));
  readonly path = join(this.folder, "artifact");
  readonly grants: number[] = [];
  readonly file = new ArtifactFile(this.path, (bytes) => this.grants.push(bytes));
  #mounted = false;

  /** Makes the folder one that holds so much and no more. @returns whether that can be had here. */
  mount(bytes: number): boolean {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", this.folder], {
        stdio: "ignore",
      });
      this.#mounted = true;
    } catch {
      return false;
    }
    return true;
  }

  [Symbol.dispose](): void {
    if (this.#mounted) execFileSync("umount", ["--lazy", this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const chunk = Buffer.alloc(artifactWindowBytes / 4, "x");

test("ArtifactFile puts the chunks into a file that its owner may run and nobody may change (S10)", () => {
  using place = new Place();
  place.file.write(Buffer.from("one "), true);
  assert.deepEqual([place.file.complete, place.file.bytes], [false, 4]);
  place.file.write(Buffer.from("two"), false);
  assert.deepEqual([place.file.complete, place.file.bytes, place.file.failure], [true, 7, undefined]);
  assert.equal(readFileSync(place.path, "utf8"), "one two");
  assert.equal(statSync(place.path).mode & 0o777, 0o500);
});

test("ArtifactFile takes an artifact without a byte", () => {
  using place = new Place();
  place.file.write(Buffer.alloc(0), false);
  assert.deepEqual([place.file.complete, place.file.bytes, statSync(place.path).size], [true, 0, 0]);
});

test("ArtifactFile passes by what comes after the end", () => {
  using place = new Place();
  place.file.write(Buffer.from("all"), false);
  place.file.write(Buffer.from(" and more"), false);
  assert.deepEqual([readFileSync(place.path, "utf8"), place.file.bytes], ["all", 3]);
});

test("ArtifactFile grants what it has taken in halves of the window, and nothing after the end", () => {
  using place = new Place();
  for (let at = 0; at < 5; at++) place.file.write(chunk, true);
  place.file.write(chunk, false);
  assert.deepEqual(place.grants, [artifactWindowBytes / 2, artifactWindowBytes / 2]);
});

test("ArtifactFile keeps granting when there is something in its place, and says what it is", () => {
  using place = new Place();
  mkdirSync(place.path);
  for (let at = 0; at < 4; at++) place.file.write(chunk, true);
  place.file.write(chunk, false);
  assert.match(place.file.failure ?? "", /^EEXIST/);
  assert.equal(place.file.complete, false);
  assert.equal(place.file.bytes, 5 * chunk.length);
  assert.equal(place.grants.length, 2);
});

test("ArtifactFile says that the disk is full, and takes the rest all the same", (context) => {
  using place = new Place();
  if (!place.mount(2 * chunk.length)) return context.skip("no file system of its own can be mounted here");
  for (let at = 0; at < 7; at++) place.file.write(chunk, true);
  place.file.write(chunk, false);
  assert.match(place.file.failure ?? "", /^ENOSPC/);
  assert.deepEqual([place.file.complete, place.file.bytes], [false, 8 * chunk.length]);
  assert.equal(place.grants.length, 3);
  assert.ok(existsSync(place.path));
});
