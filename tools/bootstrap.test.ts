import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { beforeEach, test } from "node:test";

/** An `npm` that takes a moment, makes node_modules, and writes down how it was called. */
const fakeNpm = `#!/bin/sh
echo "npm $*" >> "$CALLS"
sleep 0.3
[ -n "$NPM_FAILS" ] && echo "npm error no network" && exit 1
mkdir -p node_modules
`;
/** A build that says so, and makes a command line that shows what it was given. */
const fakeBuild = `import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
const dist = import.meta.dirname + "/../dist/";
mkdirSync(dist, { recursive: true });
appendFileSync(process.env.CALLS, "build\\n");
writeFileSync(dist + "agent.mjs", "");
writeFileSync(dist + "nex.mjs", "console.log(JSON.stringify([process.argv.slice(2), process.cwd()]));");
`;

let root: string;
let calls: string;

/** A checkout as small as can be, at a path with a space, without node_modules. */
beforeEach(async (context) => {
  const parent = await mkdtemp(join(tmpdir(), "nex-bootstrap-"));
  if ("after" in context) context.after(() => rm(parent, { recursive: true, force: true }));
  root = join(parent, "a checkout");
  calls = join(parent, "calls");
  for (const folder of ["tools", "packages/cli/src", "bin"])
    await mkdir(join(root, folder), { recursive: true });
  await copyFile(new URL("./bootstrap.mjs", import.meta.url), join(root, "tools/bootstrap.mjs"));
  await symlink("tools/bootstrap.mjs", join(root, "nex"));
  await writeFile(join(root, "package-lock.json"), '{ "packages": {} }');
  await writeFile(join(root, "packages/cli/src/main.ts"), "");
  await writeFile(join(root, "tools/build.ts"), fakeBuild);
  await writeFile(join(root, "bin/npm"), fakeNpm, { mode: 0o755 });
});

interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

function start(
  script: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): ChildProcess {
  const PATH = [join(root, "bin"), process.env.PATH].join(delimiter);
  return spawn(process.execPath, [join(root, script), ...args], {
    cwd: options.cwd ?? root,
    env: { ...process.env, PATH, CALLS: calls, ...options.env },
  });
}

async function endOf(child: ChildProcess): Promise<Ended> {
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (chunk: string) => {
      output[name] += chunk;
    });
  }
  const [code, signal] = await once(child, "close");
  return { code, signal, ...output };
}

const run = (script: string, args: string[], options?: { cwd?: string; env?: NodeJS.ProcessEnv }) =>
  endOf(start(script, args, options));
const callsMade = async () => (existsSync(calls) ? (await readFile(calls, "utf8")).trim().split("\n") : []);

test("bootstrap says which commands there are", async () => {
  const none = await run("tools/bootstrap.mjs", []);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^Cannot run: no command given; use one of test, demo, check/);
  const wrong = await run("tools/bootstrap.mjs", ["tset"]);
  assert.match(wrong.stderr, /^Cannot run: there is no command "tset"; use one of/);
  assert.deepEqual(await callsMade(), [], "nothing was installed for that");
});

test("bootstrap installs once, when two start at the same time too, and again when the lock file changes", async () => {
  await writeFile(join(root, "tools/check.ts"), "");
  const both = await Promise.all([
    run("tools/bootstrap.mjs", ["check"]),
    run("tools/bootstrap.mjs", ["check"]),
  ]);
  assert.deepEqual(
    both.map(({ code }) => code),
    [0, 0],
  );
  const words = both.map(({ stderr }) => stderr).join("");
  assert.match(words, /Installing the pinned packages with npm ci, because node_modules is not there yet\n/);
  assert.equal((await callsMade()).length, 1);
  assert.match((await callsMade()).join(), /^npm ci --ignore-scripts/);

  assert.equal((await run("tools/bootstrap.mjs", ["check"])).stderr, "");
  await writeFile(join(root, "package-lock.json"), '{ "packages": { "node_modules/a": {} } }');
  assert.match(
    (await run("tools/bootstrap.mjs", ["check"])).stderr,
    /because node_modules does not match package-lock/,
  );
  assert.equal((await callsMade()).length, 2);
});

test("bootstrap takes what npm install has put in place for what the lock file names", async () => {
  const packages = {
    "node_modules/a": { version: "1.0.0", integrity: "sha512-x" },
    "node_modules/b": { version: "1.0.0", integrity: "sha512-x", optional: true, os: ["plan9"] },
  };
  await writeFile(join(root, "package-lock.json"), JSON.stringify({ packages }));
  await mkdir(join(root, "node_modules/a"), { recursive: true });
  await writeFile(join(root, "node_modules/a/package.json"), '{ "version": "1.0.0" }');
  const record = { packages: { "node_modules/a": packages["node_modules/a"] } };
  await writeFile(join(root, "node_modules/.package-lock.json"), JSON.stringify(record));
  await writeFile(join(root, "tools/check.ts"), "");
  assert.deepEqual(await run("tools/bootstrap.mjs", ["check"]), {
    code: 0,
    signal: null,
    stdout: "",
    stderr: "",
  });
  assert.deepEqual(await callsMade(), []);
  await rm(join(root, "node_modules/.nex-setup"));
  await writeFile(join(root, "node_modules/a/package.json"), '{ "version": "0.9.0" }');
  assert.equal((await run("tools/bootstrap.mjs", ["check"])).code, 0);
  assert.equal(
    (await callsMade()).length,
    1,
    "the record of npm does not hide that another version is there",
  );
});

test("bootstrap shows the words of npm when it fails, and tries again the next time", async () => {
  const failed = await run("tools/bootstrap.mjs", ["check"], { env: { NPM_FAILS: "yes" } });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /npm error no network\nCannot install the packages: npm ci ended with 1/);
  await writeFile(join(root, "tools/check.ts"), "");
  assert.equal((await run("tools/bootstrap.mjs", ["check"])).code, 0);
});

test("bootstrap breaks the lock of a run that has died", async () => {
  const dead = spawn("true");
  await once(dead, "exit");
  await mkdir(join(root, ".nex"));
  await symlink(String(dead.pid), join(root, ".nex/setup.lock"));
  await writeFile(join(root, "tools/check.ts"), "");
  assert.equal((await run("tools/bootstrap.mjs", ["check"])).code, 0);
  await assert.rejects(readlink(join(root, ".nex/setup.lock")), { code: "ENOENT" });
});

test("run starts a TypeScript file from the person's folder, and ends as it ends", async () => {
  const folder = join(root, "packages/cli");
  await writeFile(
    join(folder, "a.ts"),
    "console.log(process.cwd(), process.argv[2] as string); process.exit(7);",
  );
  const ended = await run("tools/bootstrap.mjs", ["run", "a.ts", "--x"], { cwd: folder });
  assert.deepEqual([ended.code, ended.stdout], [7, `${folder} --x\n`]);
  await writeFile(join(folder, "b.ts"), 'process.kill(process.pid, "SIGKILL");');
  assert.equal((await run("tools/bootstrap.mjs", ["run", "b.ts"], { cwd: folder })).signal, "SIGKILL");
});

test("a signal goes on to the child, and the wrapper stays until it has ended", async () => {
  const program = `process.on("SIGTERM", () => setTimeout(() => { console.log("ended"); process.exit(5); }, 200));
setInterval(() => {}, 1000); console.log("ready");`;
  await writeFile(join(root, "a.ts"), program);
  const child = start("tools/bootstrap.mjs", ["run", "a.ts"]);
  const ending = endOf(child);
  if (child.stdout) await once(child.stdout, "data");
  child.kill("SIGTERM");
  const ended = await ending;
  assert.deepEqual([ended.code, ended.stdout], [5, "ready\nended\n"]);
});

test("nex builds when a source is newer than the bundles, and only then", async () => {
  const first = await run("nex", ["up", "--x"], { cwd: tmpdir() });
  assert.deepEqual(JSON.parse(first.stdout), [["up", "--x"], tmpdir()]);
  await run("nex", []);
  const builds = async () => (await callsMade()).filter((call) => call === "build").length;
  assert.equal(await builds(), 1);

  const later = new Date(Date.now() + 5000);
  await utimes(join(root, "packages/cli/src/main.ts"), later, later);
  await run("nex", []);
  assert.equal(await builds(), 2);
});

/** Makes a Node believe that it has another version. */
async function claimVersion(version: string): Promise<NodeJS.ProcessEnv> {
  const path = join(root, "version.cjs");
  const versions = `{ value: { ...process.versions, node: "${version}" } }`;
  await writeFile(path, `Object.defineProperty(process, "versions", ${versions});`);
  return { NODE_OPTIONS: `--require "${path}"` };
}

/** Puts a program in the place of the set-up's Node. */
async function putOwnNode(text: string): Promise<void> {
  const directory = join(root, `node_modules/node-${process.platform}-${process.arch}/bin`);
  await mkdir(directory, { recursive: true });
  await writeFile(
    join(root, "node_modules/.nex-setup"),
    `${process.platform}-${process.arch}\n{ "packages": {} }`,
  );
  await writeFile(join(directory, "node"), text, { mode: 0o755 });
}

test("bootstrap runs nothing on a Node that computes wrong results, and says so in one line", async () => {
  await writeFile(join(root, "tools/check.ts"), "console.log(process.execArgv.join());");
  const env = await claimVersion("26.10.0");
  const repaired = await run("tools/bootstrap.mjs", ["check"], { env });
  // This Node does not know the option, which shows that it was given.
  const words =
    /^Node 26\.10\.0 computes wrong results [^\n]+ so Nex starts it with (\S+);[^\n]+\n[\s\S]*bad option: \1/m;
  assert.match(repaired.stderr, words);
  assert.notEqual(repaired.code, 0);

  await putOwnNode(`#!/bin/sh\nNODE_OPTIONS= exec "${process.execPath}" "$@"\n`);
  const own = await run("tools/bootstrap.mjs", ["check"], { env });
  assert.deepEqual(
    [own.code, own.stdout],
    [0, "--conditions=nex-src,--disable-warning=ExperimentalWarning\n"],
  );
  assert.match(own.stderr, /^Node 26\.10\.0 computes [^\n]+ so Nex runs on the Node of its set-up;[^\n]+\n$/);
  assert.equal((await run("nex", ["up"], { env })).stdout, `[["up"],"${root}"]\n`);

  const right = await run("tools/bootstrap.mjs", ["check"], { env: await claimVersion("25.9.0") });
  assert.deepEqual([right.code, right.stderr], [0, ""]);
});

test("bootstrap names the library that the Node of the set-up lacks, and its package", async () => {
  const loader = "error while loading shared libraries: libatomic.so.1: cannot open shared object file";
  await putOwnNode(`#!/bin/sh\necho "$0: ${loader}: No such file or directory" >&2\nexit 127\n`);
  await writeFile(join(root, "tools/check.ts"), "");
  const env = await claimVersion("20.19.0");
  const ended = await run("tools/bootstrap.mjs", ["check"], { env });
  assert.equal(ended.code, 1);
  assert.match(
    ended.stderr,
    /lacks the library libatomic\.so\.1; install it \(Debian: apt-get install libatomic1\)/,
  );

  await putOwnNode("#!/no/such/loader\n");
  const foreign = await run("tools/bootstrap.mjs", ["check"], { env });
  assert.equal(foreign.code, 1);
  assert.match(
    foreign.stderr,
    /^Cannot start the Node of the set-up: ENOENT; it needs Linux with the GNU C library/,
  );
});
