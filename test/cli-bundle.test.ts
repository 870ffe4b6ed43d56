/** `nex devrun` bundles TypeScript, and files that import packages. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { NexHome } from "./support/nex.ts";

const home = new NexHome();
let nexus: TestNexus;

before(async () => {
  nexus = await startTestNexus();
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const devrun = (file: string) => home.run(["devrun", file, "-s", nexus.server.url]);

/** A package that has a file for Node, which needs a module of Node, and one for all else; as nanoid is made. */
function writePackage(name: string, exports: object): void {
  const folder = `project/node_modules/${name}`;
  home.write(`${folder}/package.json`, { name, version: "1.0.0", type: "module", exports });
  home.write(
    `${folder}/node.js`,
    'import { randomBytes } from "node:crypto";\nexport const id = () => randomBytes(4);',
  );
  home.write(
    `${folder}/web.js`,
    "export const id = () => { const b = crypto.getRandomValues(new Uint8Array(4)); return 'id-' + b.length; };",
  );
}

for (const condition of ["browser", "worker"]) {
  test(`a package whose file for Node needs Node is bundled by its file for a ${condition}`, async () => {
    writePackage("ids", { ".": { [condition]: "./web.js", default: "./node.js" } });
    const file = home.write(
      `project/${condition}.ts`,
      'import { id } from "ids";\nexport default () => id();',
    );
    const ended = await devrun(file);
    assert.equal(ended.status, 0, ended.stderr);
    assert.equal(await nexus.call(`default.${condition}`), '"id-4"');
  });
}

test("an error in bundling names the file in which it is", async () => {
  writePackage("nodeonly", { ".": "./node.js" });
  const file = home.write(
    "project/uses.ts",
    '// one\nimport { id } from "nodeonly";\nexport default () => id();',
  );
  const ended = await devrun(file);
  assert.equal(ended.status, 5);
  assert.match(
    ended.stderr,
    /Cannot deploy ".*uses\.ts": Could not resolve "node:crypto" \(node_modules\/nodeonly\/node\.js, line 1, column 29\)/,
  );
  const own = await devrun(home.write("project/own.ts", "export default () => {\n  oops oops\n};"));
  assert.match(own.stderr, /Cannot deploy ".*own\.ts": .* \(line 2, column 8\)/);
});

test("errors name line and column of the TypeScript that was bundled, in logs too", async () => {
  home.write(
    "project/lib/deep.ts",
    "interface Wide {\n  a: string;\n}\n\nexport function deep(wide: Wide): never {\n  throw new TypeError(wide.a);\n}\n",
  );
  const source = [
    'import { deep } from "./lib/deep.ts";',
    "type Unused = { b: number };",
    "export default (subject: string, payload: Uint8Array): unknown => {",
    '  if (payload.length === 0) return void console.warn(new Error("warned").stack);',
    '  return deep({ a: "thrown" });',
    "};",
  ];
  const ended = await devrun(home.write("project/traced.ts", source.join("\n")));
  assert.equal(ended.status, 0, ended.stderr);
  const script = home.write(
    "project/script.ts",
    '(subject: string): unknown => {\n  type A = { b: string };\n  const a: A | undefined = undefined;\n  throw new Error("in a script");\n};',
  );
  assert.equal((await devrun(script)).status, 0);
  await using watch = home.start(["logs", "--json", "-s", nexus.server.url]);
  await watch.shows(/Ctrl-C ends/);
  await nexus.call("default.traced");
  await assert.rejects(nexus.call("default.traced", "x"), /TypeError: thrown/);
  await assert.rejects(nexus.call("default.script"), /in a script/);
  await watch.shows(/in a script/);
  await watch.shows(/script\.ts/);
  const text = watch.stdout;
  assert.match(text, /lib\/deep\.ts:6:\d+/);
  assert.match(text, /traced\.ts:5:\d+/);
  assert.match(text, /warned\\n.*traced\.ts:4:\d+/);
  assert.match(text, /script\.ts:4:\d+/);
  assert.doesNotMatch(text, /function\.js:/);
});
