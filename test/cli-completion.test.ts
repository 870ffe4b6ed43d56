/** Completion as shells ask for it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { after, describe, test } from "node:test";
import { NexHome, nexPath } from "./support/nex.ts";

const home = new NexHome();
after(() => home[Symbol.dispose]());
const wrapper = home.write("bin/nex", `#!/bin/sh\nexec "${process.execPath}" "${nexPath}" "$@"\n`);
chmodSync(wrapper, 0o755);

/** Runs a script of a shell in which `nex` is known. @returns undefined where the shell is not there. */
function shell(program: string, script: string): string | undefined {
  try {
    return execFileSync(program, ["-c", script], {
      encoding: "utf8",
      env: { HOME: home.path, PATH: `${dirname(wrapper)}:${process.env["PATH"]}` },
      stdio: "pipe",
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

describe("nex completion", () => {
  test("makes bash complete commands, options and their choices, and leave the rest to files", (t) => {
    const complete = (...words: string[]): string | undefined =>
      shell(
        "bash",
        `source <(nex completion bash); COMP_WORDS=(nex ${words.map((word) => `'${word}'`).join(" ")})
         COMP_CWORD=${words.length}; _nex nex; echo "\${COMPREPLY[*]}"`,
      );
    if (complete("") === undefined) return t.skip("bash is not here");
    assert.equal(complete("node", "l"), "ls lameduck\n");
    assert.equal(complete("logs", "--level", ""), "debug info warn error\n");
    assert.equal(complete("ps", "--tls"), "--tlscert --tlskey --tlsca --tlsfirst\n");
    assert.equal(complete("keys", "new", "a"), "account\n");
    assert.equal(complete("devrun", "ec"), "\n");
  });

  test("makes fish complete, with what words are for", (t) => {
    const found = shell("fish", "nex completion fish | source; complete -C 'nex node l'");
    if (found === undefined) return t.skip("fish is not here");
    assert.match(found, /^lameduck\t.+\nls\tlist the nodes\n$/);
  });

  test("gives zsh a script that it can read", (t) => {
    const found = shell("zsh", "compdef() { print $* }; source <(nex completion zsh)");
    if (found === undefined) return t.skip("zsh is not here");
    assert.equal(found, "_nex nex\n");
  });

  test("refuses another shell", async () => {
    assert.equal((await home.run(["completion", "tcsh"])).status, 2);
  });
});
