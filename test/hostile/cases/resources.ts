/** Services that take more than they are given. */
import assert from "node:assert/strict";
import type { Check, ServiceCase } from "./case.ts";
import { ends, held, refused } from "./checks.ts";

const slowOnes: ReadonlySet<string> = new Set(["processor", "log-flood", "deaf", "stopped", "orphans"]);

function greed(
  name: string,
  technique: string,
  outcome: string,
  argv: string | string[],
  check: Check,
): ServiceCase {
  const args = typeof argv === "string" ? [argv] : argv;
  const slow = slowOnes.has(args[0] ?? "");
  return {
    kind: "service",
    name,
    technique,
    outcome,
    onProcess: "not isolated",
    argv: () => args,
    check,
    slow,
  };
}

/** With 0.5 s of grace and a second for the agent, nobody is to be waited for longer. */
const stopMsMax = 4_000;

const stops: Check = async (attack) => {
  await attack.line(/^(deaf|stopped)$/);
  const tookMs = await attack.stop();
  assert.ok(tookMs < stopMsMax, `the stop took ${Math.round(tookMs)} ms`);
};

/** Not more lines than the rate allows, and somebody is told of the others. */
const floods =
  (linesMax: number): Check =>
  async (attack) => {
    const told = await attack.line(/^\d+ log lines were dropped/);
    await attack.end();
    assert.ok(Number.parseInt(told, 10) > 0);
    assert.ok(attack.story.lineCount < linesMax, `${attack.story.lineCount} lines came through`);
  };

/** The memory of a microVM is its agent's too, and its kernel chooses whom it kills. */
const killedWithMachine: ServiceCase["inMicroVm"] & object = {
  outcome: "Killed at the limit, or its machine with it, and that is told of",
  check: ends(/SIGKILL|out of memory|ended the channel/),
};

export const resourceCases: readonly ServiceCase[] = [
  greed(
    "a fork bomb",
    "Forks until it is stopped",
    "Stopped at the limit (EAGAIN)",
    "processes",
    held(/EAGAIN/),
  ),
  greed(
    "a thread bomb",
    "Starts threads until it is stopped",
    "Stopped at the limit (EAGAIN)",
    "threads",
    held(/EAGAIN/),
  ),
  greed(
    "zombies",
    "Leaves dead children to themselves",
    "Stopped at the limit (EAGAIN)",
    "children-left",
    held(/EAGAIN/),
  ),
  greed(
    "orphaned zombies",
    "Leaves dead children of dead children to the first process",
    "They count against the limit, until its machine ends",
    "orphans",
    held(/EAGAIN|taken away/),
  ),
  {
    ...greed(
      "a memory bomb",
      "Fills memory until it is stopped",
      "Killed at the limit, and that is told of",
      "memory",
      ends(/SIGKILL|out of memory/),
    ),
    inMicroVm: killedWithMachine,
  },
  {
    ...greed(
      "files in memory",
      "Fills a `memfd` until it is stopped",
      "Killed at the limit, and that is told of",
      "memory-file",
      ends(/SIGKILL|out of memory/),
    ),
    inMicroVm: killedWithMachine,
  },
  greed(
    "a full disk",
    "Fills its working directory and `/tmp`",
    "Stopped at the limit (ENOSPC)",
    "disk",
    held(/^held \/work ENOSPC, \/tmp ENOSPC$/),
  ),
  greed(
    "empty files",
    "Makes files without bytes until it is stopped",
    "Stopped at the limit (ENOSPC)",
    "empty-files",
    held(/ENOSPC/),
  ),
  greed(
    "open files",
    "Opens descriptors until it is stopped",
    "Stopped at the limit (EMFILE)",
    "open-files",
    held(/EMFILE/),
  ),
  greed(
    "pipes",
    "Fills pipes, which are memory of the kernel",
    "Counts as its memory: stopped (EMFILE), or killed",
    "pipes",
    async (attack) => {
      await attack.until("a verdict or an end", ({ lines, ends: told }) => lines[0] ?? told[0]);
      assert.doesNotMatch(attack.story.lines.join(), /ESCAPED/);
    },
  ),
  {
    ...greed(
      "a busy loop",
      "Burns its processor for a second",
      "Gets its share",
      "processor",
      held(/its share/),
    ),
    limits: { vcpus: 0.25 },
  },
  greed(
    "a log flood",
    "Writes 200,000 lines at once",
    "Held to the rate; dropped lines are counted and told of",
    ["log-flood", "200000", "100"],
    floods(80_000),
  ),
  greed(
    "endless lines",
    "Writes 40 MB without an end of line",
    "Split, then held to the rate",
    ["log-flood", "20", "2000000"],
    floods(4_000),
  ),
  {
    ...greed(
      "a deaf service",
      "Ignores all signals, and has children in other sessions",
      "Killed with its children after the grace",
      "deaf",
      stops,
    ),
  },
  greed(
    "a halted service",
    "Stops itself with SIGSTOP, and is to be ended",
    "Killed after the grace",
    "stopped",
    stops,
  ),
  {
    ...greed(
      "an artifact larger than its disk",
      "Asks for a disk that its own executable does not fit in",
      "The deploy is refused, and says why",
      "identities",
      refused("workload_rejected", /artifact can't be kept in the machine: .*ENOSPC/),
    ),
    limits: { diskBytes: 1_048_576 },
  },
];
