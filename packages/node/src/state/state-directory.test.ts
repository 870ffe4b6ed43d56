import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openAbandoned, openNumbered, StateDirectory } from "./state-directory.ts";

const asRoot = process.getuid?.() === 0 ? {} : { skip: "only root can give a directory away" };
const notAsRoot = process.getuid?.() === 0 ? { skip: "root may write everywhere" } : {};
const anotherUser = 65_534;

/** A folder that goes with the block. */
class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "nex-state-test-"));

  /** A path below. */
  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const mode = (path: string): number => statSync(path).mode & 0o777;

describe("StateDirectory", () => {
  test("makes its directory and the parts of it, for its user only", async () => {
    using folder = new Folder();
    await using directory = await StateDirectory.open(folder.at("a", "b"));
    assert.equal(directory.path, folder.at("a", "b"));
    for (const path of [directory.path, directory.machines, directory.artifacts, directory.records.path]) {
      assert.equal(mode(path), 0o700, path);
    }
    assert.equal(existsSync(directory.drivers), false);
  });

  test("shuts an empty directory that others may enter", async () => {
    using folder = new Folder();
    mkdirSync(folder.at("open"));
    chmodSync(folder.at("open"), 0o777);
    await using directory = await StateDirectory.open(folder.at("open"));
    assert.equal(mode(directory.path), 0o700);
  });

  test("leaves a directory alone that others may enter and that holds something", async () => {
    using folder = new Folder();
    chmodSync(folder.path, 0o755);
    writeFileSync(folder.at("somebody's"), "");
    await assert.rejects(StateDirectory.open(folder.path), {
      code: "state_unusable",
      message: /it holds something, and others may enter it/,
    });
    assert.equal(mode(folder.path), 0o755);
  });

  test("refuses a directory of another user", asRoot, async () => {
    using folder = new Folder();
    mkdirSync(folder.at("theirs"), { mode: 0o700 });
    chownSync(folder.at("theirs"), anotherUser, anotherUser);
    await assert.rejects(StateDirectory.open(folder.at("theirs")), {
      code: "state_unusable",
      message: /it belongs to another user$/,
    });
  });

  test("refuses what is no directory, and one that can't be made", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("file"), "");
    for (const path of [folder.at("file"), folder.at("file", "below")]) {
      await assert.rejects(StateDirectory.open(path), {
        code: "state_unusable",
        message: new RegExp(`^Cannot use the state directory "${path}": `),
      });
    }
  });

  test("refuses a directory that it may not write", notAsRoot, async () => {
    using folder = new Folder();
    chmodSync(folder.path, 0o500);
    await assert.rejects(StateDirectory.open(folder.at("below")), { code: "state_unusable" });
  });

  test("is one node's until that has ended", async () => {
    using folder = new Folder();
    const first = await StateDirectory.open(folder.path);
    assert.equal(readFileSync(folder.at("nex.pid"), "utf8"), `${process.pid}\n`);
    assert.equal(mode(folder.at("nex.pid")), 0o600);
    await assert.rejects(StateDirectory.open(folder.path), { code: "state_locked" });
    await first[Symbol.asyncDispose]();
    assert.equal(existsSync(folder.at("nex.pid")), false);
    await using _second = await StateDirectory.open(folder.path);
  });

  test("is nobody's when it could not be opened whole", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("machines"), "in the way");
    await assert.rejects(StateDirectory.open(folder.path), { code: "state_unusable" });
    rmSync(folder.at("machines"));
    await using _directory = await StateDirectory.open(folder.path);
  });

  test("removes the artifacts at its end, and a directory of its own making whole", async () => {
    using folder = new Folder();
    const named = await StateDirectory.open(folder.path);
    writeFileSync(join(named.artifacts, "a"), "");
    const own = await StateDirectory.open();
    await named[Symbol.asyncDispose]();
    await own[Symbol.asyncDispose]();
    assert.deepEqual(
      [existsSync(named.path), existsSync(named.artifacts), existsSync(own.path)],
      [true, false, false],
    );
  });

  test("counts the nodes that have opened it, and refuses a later layout without a change", async () => {
    using folder = new Folder();
    for (const expected of [1, 2, 3]) {
      await using directory = await StateDirectory.open(folder.path);
      assert.equal(directory.epoch, expected);
    }
    for (const [text, message] of [
      ['{"version":2,"epoch":3}', /a later version of Nex has written it \(layout 2, this one knows 1\)/],
      ['{"version":', /its file "state.json" is damaged/],
    ] as const) {
      writeFileSync(folder.at("state.json"), text);
      await assert.rejects(StateDirectory.open(folder.path), { code: "state_unusable", message });
      assert.equal(readFileSync(folder.at("state.json"), "utf8"), text);
    }
  });

  test("keeps its artifacts at its end while deploys are recorded", async () => {
    using folder = new Folder();
    {
      await using directory = await StateDirectory.open(folder.path);
      writeFileSync(folder.at("artifacts/kept"), "x");
      writeFileSync(folder.at("deploys/one.json"), "{}");
      assert.equal(await directory.hasDeploys(), true);
    }
    assert.ok(existsSync(folder.at("artifacts/kept")));
    rmSync(folder.at("deploys/one.json"));
    await (await StateDirectory.open(folder.path))[Symbol.asyncDispose]();
    assert.equal(existsSync(folder.at("artifacts")), false);
  });

  test("keeps everything at its end that a record still names", async () => {
    const own = await StateDirectory.open();
    try {
      const machine = join(own.machines, "m1");
      await own.records.write({ driver: "process", id: "m1", directory: machine, facts: {} });
      await own[Symbol.asyncDispose]();
      assert.ok(existsSync(own.artifacts));
      await using next = await StateDirectory.open(own.path);
      assert.deepEqual(
        (await next.records.list()).map(({ id }) => id),
        ["m1"],
      );
    } finally {
      rmSync(own.path, { recursive: true, force: true });
    }
  });

  test("gives its lock back at its end even when it can't be cleared", async () => {
    using folder = new Folder();
    const first = await StateDirectory.open(folder.path);
    mkdirSync(join(first.records.path, "m1.json"));
    await assert.rejects(async () => await first[Symbol.asyncDispose](), { code: "state_unusable" });
    rmSync(join(first.records.path, "m1.json"), { recursive: true });
    await using _second = await StateDirectory.open(folder.path);
  });
});

describe("openNumbered", () => {
  test("opens the first directory that no other node uses", async () => {
    using folder = new Folder();
    const first = await openNumbered(folder.path);
    await using second = await openNumbered(folder.path);
    assert.deepEqual([first.path, second.path], [folder.at("1"), folder.at("2")]);
    await first[Symbol.asyncDispose]();
    await using third = await openNumbered(folder.path);
    assert.equal(third.path, folder.at("1"));
  });

  test("passes over a directory of another user", asRoot, async () => {
    using folder = new Folder();
    mkdirSync(folder.at("1"));
    chownSync(folder.at("1"), anotherUser, anotherUser);
    await using directory = await openNumbered(folder.path);
    assert.equal(directory.path, folder.at("2"));
  });

  test("says why none can be used when no other node is the reason", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("file"), "");
    await assert.rejects(openNumbered(folder.at("file")), {
      code: "state_unusable",
      message: /file\/1": (ENOTDIR|EEXIST)/,
    });
  });
});

describe("openAbandoned", () => {
  /** The names of those that are opened. */
  async function abandoned(path: string): Promise<string[]> {
    const names: string[] = [];
    for await (const directory of openAbandoned(path)) {
      await using one = directory;
      names.push(one.path.slice(path.length + 1));
    }
    return names.sort();
  }

  test(
    "opens those whose nodes have ended, and none that is not numbered or of another user",
    asRoot,
    async () => {
      using folder = new Folder();
      await using _running = await openNumbered(folder.path);
      for (const name of ["2", "7", "100", "x", "1a"]) mkdirSync(folder.at(name), { mode: 0o700 });
      mkdirSync(folder.at("3"));
      chownSync(folder.at("3"), anotherUser, anotherUser);
      writeFileSync(folder.at("4"), "");
      assert.deepEqual(await abandoned(folder.path), ["2", "7"]);
    },
  );

  test("opens nothing where there is nothing", async () => {
    assert.deepEqual(await abandoned(join(tmpdir(), "nex-not-there")), []);
  });
});
