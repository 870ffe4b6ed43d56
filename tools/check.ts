/**
 * Every check of the checkout that runs nothing of it: types, lint and format, unused code, who imports whom, style, language, lock file.
 * Prints a line for each with its time, then all findings.
 */
import { fileURLToPath } from "node:url";
import { checkArrows } from "./check/arrows.ts";
import { type Finding, formatFinding } from "./check/finding.ts";
import { checkLanguage } from "./check/language.ts";
import { checkLockFile } from "./check/lock-file.ts";
import { checkNodeFolders } from "./check/node-folders.ts";
import { checkOrphans } from "./check/orphans.ts";
import { checkLint, checkTypes, checkUnused, type ProgramResult } from "./check/programs.ts";
import { checkRings } from "./check/rings.ts";
import { checkStyle } from "./check/style.ts";
import { readTree, type Tree } from "./check/tree.ts";
import { checkWeaknesses } from "./check/weaknesses.ts";
import { stalePages } from "./reference.ts";

interface Outcome {
  ok: boolean;
  /** Stands behind the name of the check. */
  note?: string;
  details: string;
}

/** Runs all checks. @returns whether none has found anything. */
export async function check(root: string, print: (text: string) => void): Promise<boolean> {
  const tree = await readTree(root);
  const outcomes = await Promise.all([
    timed("types", async () => ofProgram(await checkTypes(root)), print),
    timed("lint and format", async () => ofProgram(await checkLint(root)), print),
    timed("unused", async () => ofProgram(await checkUnused(root)), print),
    timed("imports", async () => imports(tree), print),
    timed("style", async () => ofFindings([...checkStyle(tree), ...checkOrphans(tree)]), print),
    timed("language", async () => ofFindings(checkLanguage(tree)), print),
    timed("weaknesses", async () => ofFindings(checkWeaknesses(tree)), print),
    timed("lock file", async () => ofFindings(checkLockFile(tree)), print),
    timed("reference", async () => reference(await stalePages(root)), print),
  ]);
  for (const { details } of outcomes) if (details !== "") print(`\n${details}`);
  return outcomes.every(({ ok }) => ok);
}

async function timed(
  name: string,
  work: () => Promise<Outcome>,
  print: (text: string) => void,
): Promise<Outcome> {
  const startedAt = performance.now();
  const outcome = await work();
  const time = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  print(
    `${outcome.ok ? "✔" : "✖"} ${name} (${time})${outcome.note === undefined ? "" : `: ${outcome.note}`}`,
  );
  return outcome.ok ? { ...outcome, details: "" } : { ...outcome, details: `${name}:\n${outcome.details}` };
}

function ofProgram({ ok, output }: ProgramResult): Outcome {
  return { ok, details: output };
}

function ofFindings(findings: Finding[]): Outcome {
  const details = findings.map(formatFinding).join("\n");
  if (findings.length === 0) return { ok: true, details };
  return { ok: false, note: `${findings.length} found`, details };
}

function imports(tree: Tree): Outcome {
  const { findings, typeRings } = checkRings(tree);
  const outcome = ofFindings([...checkArrows(tree), ...checkNodeFolders(tree), ...findings]);
  if (outcome.ok && typeRings > 0) outcome.note = `${typeRings} rings of types only`;
  return outcome;
}

function reference(stale: string[]): Outcome {
  const details = stale.map((path) => `${path} is not as the code has it: npm run fix`).join("\n");
  return stale.length === 0 ? { ok: true, details } : { ok: false, note: `${stale.length} stale`, details };
}

if (import.meta.main) {
  const fine = await check(fileURLToPath(new URL("..", import.meta.url)), (text) => console.log(text));
  process.exitCode = fine ? 0 : 1;
}
