/** Rows of the protocol as tests, and the table of what became of them. */
import { after, before, test } from "node:test";
import { probeService } from "@nexengine/testing";
import { openTarget, type Target } from "./target.ts";

/** Requirements of a row for its target. */
interface Needs {
  /** A node with our additions, for the reason given: what the Go Nex does instead. */
  ours?: string;
  /** A node that was started here, since it takes its configuration or its process. */
  own?: true;
  /** One that offers this type. */
  type?: "native" | "v8";
  /** One that may be put into lame duck mode. */
  end?: true;
}

/** Adds a row: the number of its section, and what it demands. */
export type Row = (
  section: string,
  demand: string,
  check: (target: Target) => Promise<void>,
  needs?: Needs,
) => void;

type Outcome = "passed" | "failed" | { skipped: string };

/** Outcome of a row. */
interface Result {
  section: string;
  demand: string;
  outcome: Outcome;
}

export class ConformanceSuite {
  readonly #outcomes: Result[] = [];
  #target: Target | undefined;

  /** Adds the hooks that open the target and print the table. */
  constructor() {
    before(async () => {
      this.#target = await openTarget();
    });
    after(async () => {
      await this.#target?.[Symbol.asyncDispose]();
      console.log(this.table());
    });
  }

  readonly row: Row = (section, demand, check, needs = {}) => {
    test(`${section} ${demand}`, async (context) => {
      const target = this.#target;
      if (target === undefined) throw new RangeError("no node was found");
      const result: Result = { section, demand, outcome: "failed" };
      this.#outcomes.push(result);
      const skipped = await unmetNeed(needs, target);
      if (skipped !== undefined) {
        result.outcome = { skipped };
        context.skip(skipped);
        return;
      }
      await check(target);
      result.outcome = "passed";
    });
  };

  /** A row that can't be asked of any node from outside. */
  readonly unasked = (section: string, demand: string, why: string): void => {
    test(`${section} ${demand}`, (context) => {
      this.#outcomes.push({ section, demand, outcome: { skipped: why } });
      context.skip(why);
    });
  };

  /** Sections with their figures, and why rows were skipped. */
  table(): string {
    const sections = Map.groupBy(this.#outcomes, ({ section }) => section);
    const count = (rows: Result[], is: (outcome: Outcome) => boolean): string =>
      String(rows.filter(({ outcome }) => is(outcome)).length).padStart(8);
    const line = (name: string, rows: Result[]): string =>
      name.padEnd(10) +
      String(rows.length).padStart(6) +
      count(rows, (outcome) => outcome === "passed") +
      count(rows, (outcome) => typeof outcome === "object") +
      count(rows, (outcome) => outcome === "failed");
    const skipped = this.#outcomes.flatMap(({ section, demand, outcome }) =>
      typeof outcome === "object" ? [`  ${section} ${demand}: ${outcome.skipped}`] : [],
    );
    return [
      "",
      `${"section".padEnd(10)}${"rows".padStart(6)}${"passed".padStart(8)}${"skipped".padStart(8)}${"failed".padStart(8)}`,
      ...[...sections]
        .sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }))
        .map(([section, rows]) => line(section, rows)),
      line("all", this.#outcomes),
      ...(skipped.length === 0 ? [] : ["", "Skipped:", ...skipped]),
      "",
    ].join("\n");
  }
}

async function unmetNeed(needs: Needs, target: Target): Promise<string | undefined> {
  if (needs.ours !== undefined && !target.ours) return needs.ours;
  if (needs.own === true && target.own === undefined) return "only of a node that the suite has started";
  if (needs.end === true && !target.mayEnd) return "only with NEX_CONFORMANCE_LAMEDUCK: it can't be undone";
  if (needs.type === undefined) return undefined;
  if (!target.types.includes(needs.type)) return `the node does not offer ${needs.type}`;
  if (needs.type === "native" && (await probeService()) === undefined)
    return "no C compiler builds the service";
  return undefined;
}
