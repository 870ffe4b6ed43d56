/** Every function of the examples, as its README says: the commands are run, and what is printed is compared. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startTestNexus, type TestNexus } from "../packages/testing/src/nexus.ts";
import { NexHome } from "./support/nex.ts";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "examples/functions/README.md"), "utf8");

/** The sections: a title, the commands, and what the last one prints. */
const sections = readme
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    title: section.slice(0, section.indexOf("\n")),
    commands: [...(/```sh\n([^`]*)```/.exec(section)?.[1] ?? "").matchAll(/^\.\/nex (.*)$/gm)].map(
      ([, line]) => (line ?? "").match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', "")),
    ),
    prints: /```(?:json|text)\n([^`]*)\n```/.exec(section)?.[1],
  }));

describe("the functions of the examples", () => {
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

  for (const { title, commands, prints } of sections) {
    test(`${title}: as the README says`, async () => {
      assert.ok(commands.length > 0);
      for (const [at, args] of commands.entries()) {
        // What is not on this host can't be asked.
        if (prints === undefined && at > 0) break;
        const { status, stdout, stderr } = await home.run(args ?? [], {
          env: { NATS_URL: nexus.server.url },
        });
        assert.equal(status, 0, stderr);
        if (at === commands.length - 1 && prints !== undefined) assert.equal(stdout.trim(), prints);
      }
    });
  }
});
