/** A copy of the sources in which bugs can be planted. */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { NexError } from "../../packages/protocol/src/errors.ts";
import type { Mutant } from "./list.ts";

/** Scope of our own packages, whose links lead into the copy. */
const ownScope = "@nexengine";
const listBytesMax = 16 * 1_024 * 1_024;

/** The text of a file with a planted bug. @throws NexError `usage` when the mutant's text is not there exactly once */
export function mutated(text: string, mutant: Mutant): string {
  const count = text.split(mutant.text).length - 1;
  if (count === 1) return text.replace(mutant.text, () => mutant.replacement);
  throw new NexError(
    "usage",
    `Cannot plant "${mutant.name}": its text occurs ${count} times in "${mutant.file}" instead of once`,
    { advice: "Adapt its entry in tools/mutants/list.ts" },
  );
}

export class TreeCopy implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "nex-mutants-"));

  /** Copies all files that git knows or would add, and links the installed packages. @throws NexError `usage` */
  constructor(root: string) {
    const options = { cwd: root, encoding: "utf8", maxBuffer: listBytesMax } as const;
    const listed = spawnSync(
      "git",
      ["ls-files", "--cached", "--others", "--exclude-standard", "-z"],
      options,
    );
    if (listed.status !== 0) throw new NexError("usage", `Cannot copy the sources: ${listed.stderr}`);
    for (const name of listed.stdout.split("\0").filter((one) => one !== "")) {
      mkdirSync(dirname(join(this.path, name)), { recursive: true });
      cpSync(join(root, name), join(this.path, name), { verbatimSymlinks: true });
    }
    this.#linkPackages(join(root, "node_modules"));
  }

  #linkPackages(installed: string): void {
    const target = join(this.path, "node_modules");
    mkdirSync(target);
    for (const name of readdirSync(installed)) {
      if (name === ownScope)
        cpSync(join(installed, name), join(target, name), { recursive: true, verbatimSymlinks: true });
      else symlinkSync(join(installed, name), join(target, name));
    }
  }

  /** Plants a bug. @returns what takes it out again */
  plant(mutant: Mutant): Disposable {
    const path = join(this.path, mutant.file);
    const text = readFileSync(path, "utf8");
    writeFileSync(path, mutated(text, mutant));
    return { [Symbol.dispose]: () => writeFileSync(path, text) };
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}
