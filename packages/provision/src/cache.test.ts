import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { defaultCacheDirectory } from "./cache.ts";

const usualTemporary = process.env.TMPDIR;
let temporary: string;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), "nex-cache-directory-"));
  process.env.TMPDIR = temporary;
});
afterEach(() => {
  if (usualTemporary === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = usualTemporary;
  rmSync(temporary, { recursive: true, force: true });
});

test("defaultCacheDirectory follows XDG_CACHE_HOME, then HOME", () => {
  assert.equal(
    defaultCacheDirectory({ XDG_CACHE_HOME: "/var/cache/me", HOME: temporary }),
    "/var/cache/me/nex",
  );
  assert.equal(
    defaultCacheDirectory({ XDG_CACHE_HOME: "not/absolute", HOME: temporary }),
    `${temporary}/.cache/nex`,
  );
});

test("defaultCacheDirectory gives who has no home a private folder, and the same one again", () => {
  const path = defaultCacheDirectory({ HOME: "/nonexistent" });
  assert.equal(path, join(temporary, `nex-cache-${userInfo().uid}`));
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(defaultCacheDirectory({ HOME: "/nonexistent" }), path);
});

test("defaultCacheDirectory does not trust a folder that others can write", () => {
  const open = join(temporary, `nex-cache-${userInfo().uid}`);
  mkdirSync(open);
  chmodSync(open, 0o777);
  const path = defaultCacheDirectory({ HOME: "/nonexistent" });
  assert.notEqual(path, open);
  assert.equal(dirname(path), temporary);
  assert.match(basename(path), /^nex-cache-\d+-/);
});
