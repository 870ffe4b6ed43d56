/**
 * Plants bugs in a copy of the sources, one at a time, and runs the tests that should find them: `npm run test:mutants`.
 * A word as argument takes the mutants that have it in their name. Exits with 1 when one is not found by any test.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { NexError } from "../packages/protocol/src/errors.ts";
import { type Mutant, mutants } from "./mutants/list.ts";
import { TreeCopy } from "./mutants/tree.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Time for the tests of one mutant; one that hangs them is found too. */
const runTimeoutMs = 300_000;
const testTimeoutMs = 60_000;
const outputBytesMax = 64 * 1_024 * 1_024;
const nameWidth = 64;

/** @returns the names of the tests that failed, or nothing when all passed */
function failures(tree: TreeCopy, tests: readonly string[], only: string | undefined): string[] {
  const flags = ["--conditions=nex-src", "--disable-warning=ExperimentalWarning"];
  const named = only === undefined ? [] : [`--test-name-pattern=${only}`];
  const options = ["--only-tests", `--test-timeout=${testTimeoutMs}`, ...named];
  const run = spawnSync(process.execPath, [...flags, "tools/test.ts", ...options, ...tests], {
    cwd: tree.path,
    encoding: "utf8",
    timeout: runTimeoutMs,
    killSignal: "SIGTERM",
    maxBuffer: outputBytesMax,
  });
  if (run.status === 0) {
    if (!/^ℹ pass 0$/m.test(stripVTControlCharacters(run.stdout))) return [];
    throw new NexError("usage", `Cannot judge a mutant: no test runs in ${tests.join(", ")} with "${only}"`);
  }
  if (run.status === null) return [`no end within ${runTimeoutMs / 1_000} s`];
  const failed = [...stripVTControlCharacters(run.stdout).matchAll(/^ *✖ (.+?) \([\d.]+ms\)$/gm)];
  const names = [...new Set(failed.map(([, name = ""]) => name))];
  return names.length === 0 ? [`exit status ${run.status}: ${run.stderr.slice(-500)}`] : names;
}

function planted(tree: TreeCopy, mutant: Mutant): boolean {
  using _ = tree.plant(mutant);
  const [first] = failures(tree, mutant.tests, mutant.only);
  const verdict = first === undefined ? "SURVIVED" : `caught by: ${first.slice(0, 120)}`;
  console.log(`${mutant.name.padEnd(nameWidth)} ${verdict}`);
  return first !== undefined;
}

const [word = ""] = process.argv.slice(2);
const chosen = mutants.filter(({ name }) => name.includes(word));
using tree = new TreeCopy(root);
const tests = [...new Set(chosen.flatMap((mutant) => mutant.tests))];
console.log(`Runs the tests of ${chosen.length} mutants without any of them`);
const broken = failures(tree, tests, undefined);
if (broken.length > 0) {
  console.error(`Cannot judge mutants: these tests fail without one: ${broken.join("; ")}`);
  process.exitCode = 1;
} else {
  const survivors = chosen.filter((mutant) => !planted(tree, mutant));
  console.log(`${chosen.length - survivors.length} of ${chosen.length} mutants are caught`);
  if (survivors.length > 0 || chosen.length === 0) process.exitCode = 1;
}
