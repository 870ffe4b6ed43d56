/** The table of hostile cases, as the guide on isolation shows it. */
import { hostileCases } from "./cases/all.ts";
import type { HostileCase } from "./cases/case.ts";

const begin = "<!-- Cases, written by `npm run fix` out of test/hostile. -->";
const end = "<!-- End of the cases. -->";

const kinds: Record<HostileCase["kind"], string> = {
  service: "Services",
  function: "Functions",
  wasm: "Functions in Wasm",
  agent: "Agents",
};

/** @returns the guide with the table that the cases give; `undefined` where it has no place for one. */
export function withCases(guide: string): string | undefined {
  const from = guide.indexOf(begin);
  const to = guide.indexOf(end);
  if (from < 0 || to < from) return undefined;
  return `${guide.slice(0, from + begin.length)}\n${tables()}\n${guide.slice(to)}`;
}

function tables(): string {
  return Object.entries(kinds)
    .flatMap(([kind, title]) => {
      const cases = hostileCases.filter((hostile) => hostile.kind === kind);
      return [
        `\n**${title}** (${cases.length})\n`,
        "| case | technique | in a container | in a microVM | as a plain process |\n| --- | --- | --- | --- | --- |",
        ...cases.map(row),
      ];
    })
    .join("\n")
    .concat("\n");
}

function row({ name, technique, outcome, inMicroVm, onProcess }: HostileCase): string {
  const inVm = inMicroVm?.outcome ?? "the same";
  const cells = [name, technique, outcome, inVm, onProcess === "held" ? "the same" : "*not isolated*"];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
