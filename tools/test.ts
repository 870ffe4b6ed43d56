/**
 * All checks, then all tests: `npm test`. With files or patterns as arguments only those tests; `--only-tests` leaves
 * the check out; `--hostile` runs the hostile workloads alone, in their long form, `--conformance` the control protocol
 * row by row, of another node with `NEX_CONFORMANCE_URL`, `--faults` faults in their long form (`--kills N`, `--minutes N`, `--seed N`), `--qemu` all of the driver contract on real microVMs,
 * `--firecracker` both contracts on a real Firecracker, which is an error where it can't run but with `--allow-missing`;
 * other options go to Node's test runner. Sets up what the tests need, and fails when a test leaves a process behind.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NexError } from "../packages/protocol/src/errors.ts";
import { defaultCacheDirectory, fetchNatsServer, findNatsServer } from "../packages/provision/src/mod.ts";
import { prepareWasmExamples } from "../packages/testing/src/compile-wasm.ts";
import { installContainerTools, prepareMicroVms } from "../packages/testing/src/install.ts";
import { build } from "./build.ts";
import { check } from "./check.ts";
import { orphans } from "./test/orphans.ts";
import { runTests } from "./test/runner.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const allTests = ["packages/*/src/**/*.test.ts", "tools/**/*.test.ts", "test/**/*.test.ts"];
const hostileTests = ["test/hostile/*.test.ts"];
const conformanceTests = ["test/conformance/*.test.ts"];
const qemuTests = ["packages/machines/src/qemu/*.test.ts", "test/adoption-qemu.test.ts"];
const faultTests = ["test/faults/*.test.ts"];
const firecrackerTests = ["test/firecracker.test.ts"];
const endWaitMs = 3_000;
const print = (line: string) => console.log(line);

/** The nats-server that all tests use, fetched when there is none. */
async function natsServerPath(): Promise<string> {
  const cacheDirectory = defaultCacheDirectory();
  const found =
    (await findNatsServer({ cacheDirectory, report: print })) ??
    (await fetchNatsServer({ cacheDirectory }, print));
  print(`Using nats-server ${found.version} at ${found.path}`);
  return found.path;
}

/** Runs the tests in a temporary directory of their own. @returns the exit code. */
async function testRun(args: string[], cwd: string): Promise<number> {
  const natsServer = await natsServerPath();
  await installContainerTools(print);
  await prepareWasmExamples(print);
  const bootDirectory = await prepareMicroVms(defaultCacheDirectory(), print);
  await build({ report: print });
  const id = randomBytes(4).toString("hex");
  // Short, because paths of sockets in it have 108 bytes at the most.
  const directory = join(tmpdir(), `nex-test-${id}`);
  await mkdir(directory, { mode: 0o755 });
  try {
    const env = {
      ...process.env,
      NEX_NATS_SERVER: natsServer,
      NEX_TEST_RUN: id,
      TMPDIR: directory,
      ...(bootDirectory === undefined ? {} : { NEX_TEST_BOOT_DIRECTORY: bootDirectory }),
    };
    const code = await runTests({ args, cwd, env });
    const left = await orphans({ environment: `NEX_TEST_RUN=${id}`, directory }, endWaitMs);
    for (const { pid, command } of left) {
      console.error(`A test has left process ${pid} behind, which is killed now: ${command}`);
      process.kill(pid, "SIGKILL");
    }
    // Files that several tests share are removed with the directory.
    const entries = (await readdir(directory)).filter((name) => !name.startsWith("nex-test-"));
    if (entries.length > 0)
      print(`Tests have left ${entries.length} entries in TMPDIR: ${entries.join(", ")}`);
    return left.length > 0 && code === 0 ? 1 : code;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const args = process.argv.slice(2);

/** Takes `--kills N`, `--minutes N` and `--seed N` out of the arguments. */
function faultEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [option, variable] of [
    ["--kills", "NEX_TEST_KILLS"],
    ["--seed", "NEX_TEST_SEED"],
    ["--minutes", "NEX_TEST_MINUTES"],
  ] as const) {
    const at = args.indexOf(option);
    if (at < 0) continue;
    const [, value = ""] = args.splice(at, 2);
    if (!/^\d{1,9}$/.test(value)) throw new NexError("usage", `Cannot run faults: ${option} takes a number`);
    env[variable] = value;
  }
  return env;
}

/** Special runs: the tests of each, and the environment that it gives them. */
const specialRuns: Readonly<Record<string, { tests: string[]; env: Record<string, string> }>> = {
  "--hostile": { tests: hostileTests, env: { NEX_TEST_HOSTILE: "long" } },
  "--conformance": { tests: conformanceTests, env: {} },
  "--faults": { tests: faultTests, env: { NEX_TEST_FAULTS: "long", ...faultEnvironment() } },
  "--qemu": { tests: qemuTests, env: { NEX_TEST_QEMU: "long" } },
  "--firecracker": { tests: firecrackerTests, env: { NEX_TEST_FIRECRACKER: "long" } },
};

const [, special] = Object.entries(specialRuns).find(([flag]) => args.includes(flag)) ?? [];
Object.assign(process.env, special?.env);
if (args.includes("--allow-missing")) process.env["NEX_TEST_ALLOW_MISSING"] = "1";
const ownFlags = ["--only-tests", "--allow-missing", ...Object.keys(specialRuns)];
const runnerArgs = args.filter((arg) => !ownFlags.includes(arg));
const selects = runnerArgs.some((arg) => !arg.startsWith("-"));
const unchecked = args.includes("--only-tests") || special !== undefined || selects;
if (unchecked || (await check(root, print))) {
  process.exitCode = await testRun(
    selects ? runnerArgs : [...runnerArgs, ...(special?.tests ?? allTests)],
    selects ? process.cwd() : root,
  );
} else process.exitCode = 1;
