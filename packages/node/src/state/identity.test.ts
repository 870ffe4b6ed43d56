import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { NexError } from "@nexengine/protocol";
import { checkXkeyProof } from "@nexengine/protocol/tokens";
import { Identity } from "./identity.ts";

async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "nex-identity-"));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("Identity.open makes a node that is the same the next time, in a file of its owner's alone", async () => {
  await withDirectory(async (directory) => {
    const first = await Identity.open(directory);
    const again = await Identity.open(directory);
    assert.equal(again.id, first.id);
    assert.equal(again.xkey.publicKey, first.xkey.publicKey);
    checkXkeyProof(again.xkeyProof, first.id, first.xkey.publicKey, Date.now());
    assert.equal((await stat(join(directory, "identity.json"))).mode & 0o777, 0o600);
  });
});

test("Identity.open does not become another node because the file is damaged, and quotes nothing of it", async () => {
  await withDirectory(async (directory) => {
    await Identity.open(directory);
    const path = join(directory, "identity.json");
    const whole = await readFile(path, "utf8");
    const seed = /"node_seed":"([^"]+)"/.exec(whole)?.[1] ?? "";
    for (const damaged of [whole.slice(0, 60), whole.replace(seed, seed.slice(0, -3)), "", "null"]) {
      await writeFile(path, damaged);
      await assert.rejects(Identity.open(directory), (error: NexError) => {
        assert.equal(error.code, "state_unusable");
        assert.doesNotMatch(`${error.message} ${error.stack}`, new RegExp(seed.slice(0, 20)));
        return true;
      });
    }
  });
});
