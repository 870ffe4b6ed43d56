import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { NexError } from "@nexengine/protocol/errors";
import type { BoundToken } from "@nexengine/protocol/tokens";
import { UsedTokens, type UsedTokensOptions } from "./used-tokens.ts";

let folder: string;
let count = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "nex-tokens-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A directory, and a clock that a test sets; `jumpMs` is what people have set it wrong by. */
function fresh(): {
  directory: string;
  clock: { ms: number; jumpMs: number };
  open(bounds?: UsedTokensOptions): Promise<UsedTokens>;
} {
  const directory = join(folder, String(++count));
  const clock = { ms: 1_000_000_000, jumpMs: 0 };
  const options: UsedTokensOptions = { now: () => clock.ms + clock.jumpMs, steadyNow: () => clock.ms };
  return { directory, clock, open: (bounds) => UsedTokens.open(directory, { ...options, ...bounds }) };
}

const issuer = "A".repeat(56);
const token = (name: string | number, until = 1_000_090, by = issuer): BoundToken => ({
  digest: String(name).padStart(43, "x"),
  until,
  issuer: by,
});

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof NexError) return error.code;
    throw error;
  }
  return "none";
}

describe("UsedTokens", () => {
  test("accepts a token once, and says so of the second time", async () => {
    using memory = await fresh().open();
    assert.equal(memory.has(token("a")), false);
    memory.remember(token("a"));
    assert.equal(memory.has(token("a")), true);
    assert.equal(
      codeOf(() => memory.remember(token("a"))),
      "token_already_used",
    );
    memory.remember(token("b"));
  });

  test("remembers after the node was killed: what was remembered is on the disk at once", async () => {
    const { open, directory } = fresh();
    using killed = await open();
    killed.remember(token("a"));
    using next = await open();
    assert.equal(
      codeOf(() => next.remember(token("a"))),
      "token_already_used",
    );
    const [name = ""] = readdirSync(directory);
    assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600);
  });

  test("reads what stands before and after a torn line, and adds nothing to it", async () => {
    const { open, directory } = fresh();
    {
      using memory = await open();
      memory.remember(token("a"));
      memory.remember(token("b"));
    }
    const [name = ""] = readdirSync(directory);
    appendFileSync(join(directory, name), token("c").digest.slice(0, 20));
    const torn = readFileSync(join(directory, name), "utf8");
    using next = await open();
    assert.deepEqual([next.has(token("a")), next.has(token("b")), next.size], [true, true, 2]);
    next.remember(token("c"));
    assert.equal(readFileSync(join(directory, name), "utf8"), torn);
    using third = await open();
    assert.equal(third.size, 3);
  });

  test("passes over what is no line and no file of its own", async () => {
    const { open, directory } = fresh();
    (await open())[Symbol.dispose]();
    writeFileSync(
      join(directory, "7"),
      `\n\0\0\0\nhello 5\n${token("a").digest} 1000090\n${"y".repeat(99)} 1\n`,
    );
    writeFileSync(join(directory, "notes"), "mine");
    using memory = await open();
    assert.equal(memory.size, 1);
    memory.remember(token("b"));
    assert.deepEqual(readdirSync(directory).sort(), ["7", "8", "notes"]);
  });

  test("forgets a token when it has expired, not a second sooner", async () => {
    const { open, clock } = fresh();
    using memory = await open();
    memory.remember(token("a", 1_000_090));
    clock.ms = 1_000_090_999;
    assert.equal(
      codeOf(() => memory.remember(token("a"))),
      "token_already_used",
    );
    clock.ms = 1_000_092_000;
    memory.remember(token("b", 1_000_200));
    assert.equal(memory.has(token("a")), false);
  });

  test("is full at its limit, and accepts more once some have expired", async () => {
    const { open, clock } = fresh();
    using memory = await open({ max: 3 });
    for (const name of [1, 2, 3]) memory.remember(token(name, 1_000_090 + name));
    assert.equal(
      codeOf(() => memory.remember(token("more"))),
      "replay_memory_full",
    );
    assert.equal(memory.has(token("more")), false);
    clock.ms = 1_000_093_000;
    memory.remember(token("more", 1_000_200));
    // The clock of a node that has just started may be wrong: it forgets nothing yet.
    using again = await open();
    assert.equal(again.size, 4);
  });

  test("is full for one issuer at that one's limit, and takes the tokens of others", async () => {
    const { open } = fresh();
    const other = "B".repeat(56);
    using memory = await open({ issuerMax: 2 });
    for (const name of [1, 2]) memory.remember(token(name));
    assert.equal(
      codeOf(() => memory.remember(token(3))),
      "replay_memory_full",
    );
    memory.remember(token(4, 1_000_090, other));
    using again = await open({ issuerMax: 2 });
    assert.deepEqual(
      [token(5), token(6, 1_000_090, other)].map((one) => codeOf(() => again.remember(one))),
      ["replay_memory_full", "none"],
    );
  });

  test("forgets nothing while the clock stands wrong, however it was set", async () => {
    const { open, clock } = fresh();
    using memory = await open();
    memory.remember(token("a"));
    clock.jumpMs = 3_600_000;
    clock.ms += 5_000;
    memory.remember(token("b", 1_003_700));
    assert.equal(memory.has(token("a")), true);
    // Also a node that starts meanwhile.
    using next = await open();
    clock.ms += 5_000;
    next.remember(token("c", 1_003_700));
    assert.equal(next.has(token("a")), true);
  });

  test("tells when the disk has a token", async () => {
    using memory = await fresh().open();
    await Promise.all([memory.remember(token("a")), memory.remember(token("b"))]);
    const late = memory.remember(token("c"));
    memory[Symbol.dispose]();
    await late;
  });

  test("removes files whose tokens have all expired, and begins new ones", async () => {
    const { open, directory, clock } = fresh();
    using memory = await open();
    const seen = new Set<string>();
    for (let minute = 0; minute < 60; minute++) {
      clock.ms += 60_000;
      const second = clock.ms / 1000;
      for (let at = 0; at < 10; at++) memory.remember(token(`${minute}-${at}`, second + 90));
      const files = readdirSync(directory);
      for (const name of files) seen.add(name);
      assert.ok(files.length <= 3, files.join());
      assert.ok(memory.size <= 30);
    }
    assert.ok(seen.size > 10);
  });

  test("keeps a file's size bounded", async () => {
    const { open, directory } = fresh();
    using memory = await open();
    for (let at = 0; at < 20_000; at++) memory.remember(token(at));
    const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
    assert.equal(sizes.length, 3);
    assert.ok(Math.max(...sizes) < 1_000_000);
    using again = await open();
    assert.equal(again.size, 20_000);
  });

  test("accepts nothing that it can't write down", async () => {
    const { open, directory } = fresh();
    using memory = await open();
    rmSync(directory, { recursive: true });
    assert.equal(
      codeOf(() => memory.remember(token("a"))),
      "state_unusable",
    );
    assert.equal(memory.has(token("a")), false);
    writeFileSync(directory, "a file");
    await assert.rejects(open(), { code: "state_unusable" });
  });
});
