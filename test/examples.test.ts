/** Every function of the examples, as its README says: the commands are run, and what is printed is compared. */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { compileWasm } from "../packages/testing/src/compile-wasm.ts";
import { startTestNexus, type TestNexus } from "../packages/testing/src/nexus.ts";
import { type Ended, NexHome } from "./support/nex.ts";

const root = join(import.meta.dirname, "..");

/** A section: a title, the commands, and what the last one prints. */
interface Section {
  title: string;
  commands: readonly (readonly string[])[];
  /** The file that is built first, and its name. */
  built: { source: string; name: string } | undefined;
  prints: string | undefined;
}

function sectionsOf(readme: string): Section[] {
  return readFileSync(join(root, "examples", readme), "utf8")
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const shell = /```sh\n([^`]*)```/.exec(section)?.[1] ?? "";
      const [, source] = /^(?!\.\/nex ).*examples\/(wasm\/\S+)/m.exec(shell) ?? [];
      const [, name = ""] = /^\.\/nex devrun (\S+)/m.exec(shell) ?? [];
      return {
        title: section.slice(0, section.indexOf("\n")),
        commands: [...shell.matchAll(/^\.\/nex (.*)$/gm)].map(([, line]) =>
          ((line ?? "").match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) =>
            word.replace(/^(["'])(.*)\1$/, "$2"),
          ),
        ),
        built: source === undefined ? undefined : { source, name },
        prints: /```(?:json|text)\n([^`]*)\n```/.exec(section)?.[1],
      };
    });
}

/** Builds the module of a section into a home. @returns false when no compiler here can. */
async function build({ built }: Section, home: NexHome, context: TestContext): Promise<boolean> {
  if (built === undefined) return true;
  const module = await compileWasm(join(root, "examples", built.source), (line) => context.diagnostic(line));
  if (module === undefined) return false;
  copyFileSync(module.path, join(home.path, built.name));
  return true;
}

for (const readme of ["functions/README.md", "triggers/README.md", "wasm/README.md"]) {
  const isTriggered = readme.startsWith("triggers/");
  describe(`the functions of examples/${readme}`, () => {
    let nexus: TestNexus;
    let home: NexHome;
    before(async () => {
      nexus = await startTestNexus({ config: { machine_pool_size: 2 } });
      home = new NexHome();
    });
    after(async () => {
      home[Symbol.dispose]();
      await nexus[Symbol.asyncDispose]();
    });

    for (const section of sectionsOf(readme)) {
      const { title, commands, prints, built } = section;
      test(`${title}: as the README says`, async (context) => {
        assert.ok(commands.length > 0);
        if (!(await build(section, home, context))) return context.skip("no compiler here builds it");
        for (const [at, args] of commands.entries()) {
          // A program that is not on this host can't be asked.
          if (prints === undefined && at > 0) break;
          const run = (): Promise<Ended> =>
            home.run(args, {
              env: { NATS_URL: nexus.server.url },
              ...(built === undefined ? {} : { cwd: home.path }),
            });
          let { status, stdout, stderr } = await run();
          assert.equal(status, 0, stderr);
          if (at < commands.length - 1 || prints === undefined) continue;
          // Stored messages are handled a moment later.
          while (isTriggered && stdout.trim() !== prints) ({ status, stdout, stderr } = await run());
          assert.equal(stdout.trim(), prints);
        }
      });
    }
  });
}
