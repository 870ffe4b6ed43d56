import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLockFile } from "./lock-file.ts";
import { short, treeOf } from "./test-tree.ts";

function findings(version: string, locked: string, entry: Record<string, unknown>): string[] {
  const dependencies = { zod: version };
  const lock = {
    packages: {
      "": {},
      "packages/node": { dependencies: { zod: locked } },
      "node_modules/@nexengine/node": { resolved: "packages/node", link: true },
      "node_modules/zod": { version: "4.0.0", ...entry },
    },
  };
  const tree = treeOf({
    "package.json": "{}",
    "packages/node/package.json": JSON.stringify({ name: "@nexengine/node", dependencies }),
    "package-lock.json": JSON.stringify(lock),
  });
  return short(checkLockFile(tree));
}

test("checkLockFile passes exact versions with hashes and without hosts", () => {
  assert.deepEqual(findings("4.0.0", "4.0.0", { integrity: "sha512-x" }), []);
  assert.deepEqual(findings("4.0.0-rc.1", "4.0.0-rc.1", { integrity: "sha512-x" }), []);
});

test("checkLockFile refuses a host, a missing hash, and a version that is not exact", () => {
  const resolved = "https://packages.example/zod.tgz";
  assert.match(
    findings("4.0.0", "4.0.0", { integrity: "sha512-x", resolved }).join(),
    /names the host it came from/,
  );
  assert.match(findings("4.0.0", "4.0.0", {}).join(), /node_modules\/zod has no integrity/);
  assert.match(
    findings("^4.0.0", "^4.0.0", { integrity: "sha512-x" }).join(),
    /zod is "\^4\.0\.0"; name one version/,
  );
});

test("checkLockFile refuses a package.json that the lock file has not followed", () => {
  assert.deepEqual(findings("4.1.0", "4.0.0", { integrity: "sha512-x" }), [
    "packages/node/package.json zod 4.1.0 is not in step with package-lock.json (4.0.0); run npm install",
  ]);
});

test("checkLockFile says that there is no lock file", () => {
  assert.match(
    short(checkLockFile(treeOf({ "package.json": "{}" }))).join(),
    /is not there; make it with npm install/,
  );
});
