/** The report on functions: what is printed and written, and whether the aims are reached. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const resultPath = join(import.meta.dirname, "../../docs/benchmarks.md");
/** From here on the document is written by hand. */
const writtenByHand = /\n# Benchmarks of machines\n.*$/s;

/** One size and concurrency, and the aims for each kind of function: requests per second, and CPU. */
export interface Load {
  concurrency: number;
  payloadBytes: number;
}

/** A ratio to the baseline that a kind of candidate is to reach, for payloads of 16 bytes. */
export interface Aim {
  candidates: RegExp;
  concurrency: number;
  what: "requests/s" | "CPU" | "median" | "p99";
  atLeast?: number;
  atMost?: number;
}

const aims: readonly Aim[] = [
  { candidates: /-keep$/, concurrency: 1, what: "median", atMost: 1.8 },
  ...([128, 1_024] as const).flatMap((concurrency): Aim[] => [
    { candidates: /-keep$/, concurrency, what: "requests/s", atLeast: 0.9 },
    { candidates: /-keep$/, concurrency, what: "CPU", atLeast: 0.9 },
    { candidates: /-fresh$/, concurrency, what: "requests/s", atLeast: concurrency === 128 ? 0.6 : 0.4 },
  ]),
  { candidates: /-keep$/, concurrency: 128, what: "p99", atMost: 2 },
  { candidates: /-wasm-C$/, concurrency: 128, what: "requests/s", atLeast: 0.3 },
  { candidates: /-wasm-Rust$/, concurrency: 128, what: "requests/s", atLeast: 0.1 },
];

/** Prints the results, and writes them. */
export class Report {
  readonly #lines: string[] = [];

  line(text = ""): void {
    console.log(text);
    this.#lines.push(text);
  }

  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    this.line();
    this.line(`| ${head.join(" | ")} |`);
    this.line(`|${head.map((_, at) => (at === 0 ? " --- " : " ---: ")).join("|")}|`);
    for (const row of rows) this.line(`| ${row.join(" | ")} |`);
  }

  write(): void {
    const [rest = ""] = writtenByHand.exec(readFileSync(resultPath, "utf8")) ?? [];
    writeFileSync(resultPath, `${this.#lines.join("\n")}\n${rest}`);
  }
}

/** Says of each aim for this load whether it was reached. */
export function judge(
  report: Report,
  names: readonly string[],
  { concurrency, payloadBytes }: Load,
  ratio: (name: string, what: Aim["what"]) => number,
): void {
  const wanted = payloadBytes === 16 ? aims.filter((aim) => aim.concurrency === concurrency) : [];
  if (wanted.length > 0) report.line();
  for (const { candidates, what, atLeast = 0, atMost = Number.POSITIVE_INFINITY } of wanted) {
    for (const name of names.filter((one) => candidates.test(one))) {
      const reached = ratio(name, what);
      const aim = atLeast > 0 ? `at least ${atLeast}` : `at most ${atMost}`;
      const verdict = reached >= atLeast && reached <= atMost ? "reached" : "missed";
      report.line(`- ${name}, ${what}: ${reached.toFixed(2)}, aim ${aim}: ${verdict}`);
    }
  }
}
