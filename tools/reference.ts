/** Writes the pages of docs/reference out of the code; the check compares them. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { version } from "../packages/cli/src/daemon.ts";
import { createProgram } from "../packages/cli/src/program.ts";
import { errorCatalogue, exitStatus } from "../packages/protocol/src/errors.ts";
import { withCases } from "../test/hostile/guide-table.ts";
import { limitsPage } from "./reference/limits.ts";
import { schemaPages } from "./reference/schemas.ts";
import { permissionsPage, tenantsConfig } from "./reference/tenants.ts";

/** Its table of hostile cases comes from their tests; the rest is written by hand. */
const isolationGuide = "docs/guide/isolation.md";
const generated = "<!-- Written by `npm run fix` out of the code. -->";

const exitMeanings: Record<keyof typeof exitStatus, string> = {
  ok: "success",
  internal: "a fault of Nex itself",
  usage: "wrong usage: an option, an argument, a key file, the configuration",
  connection: "the NATS server can't be reached, or refuses the login",
  notFound: "a file, a node, a workload or a bucket is not there",
  refused: "refused, by a node or before anything was sent",
  noNode: "no node accepts the workload",
  timeout: "no answer in time",
  workload: "a function failed: its caller got an error",
  interrupted: "interrupted",
};

function errorsPage(): string {
  const exits = Object.entries(exitStatus).map(
    ([name, status]) => `| ${status} | ${exitMeanings[name as keyof typeof exitStatus]} |`,
  );
  const rows = Object.entries(errorCatalogue).map(
    ([code, { when, fault, exit }]) => `| \`${code}\` | ${when} | ${fault} | ${exit} |`,
  );
  return [
    "# Errors",
    generated,
    "Every error has a code. On the wire it stands in `nex.code` of the failing answer, beside the text in `error`;",
    "commands print the text and what to do next, and end with the status of the code.\n",
    "## Exit statuses\n",
    "| status | meaning |\n| --- | --- |",
    ...exits,
    "\n## Codes\n",
    "| code | when | whose fault | exit status |\n| --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}

function commandLinePage(): string {
  const program = createProgram();
  const parts = ["# Command line", generated, "", "## Options of every command\n", optionTable(program)];
  for (const command of runnable(program)) parts.push(commandSection(command));
  return `${parts.join("\n")}\n`;
}

/** Commands that do something by themselves: those without commands below them, and those with options of their own. */
function runnable(command: Command): Command[] {
  const below = command.commands.flatMap(runnable);
  const isGroup = command.parent === null || (below.length > 0 && command.options.length === 0);
  return isGroup ? below : [command, ...below];
}

function commandSection(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  const alias = command.alias() ? ` (also \`${command.alias()}\`)` : "";
  const argumentsOf = command.registeredArguments.map((argument) => {
    const name = argument.variadic ? `${argument.name()}...` : argument.name();
    return `- \`${argument.required ? `<${name}>` : `[${name}]`}\` ${argument.description}`;
  });
  return [
    `\n## \`${names.join(" ")}\`${alias}\n`,
    `${sentence(command.description())}\n`,
    ...(argumentsOf.length === 0 ? [] : [...argumentsOf, ""]),
    optionTable(command),
  ].join("\n");
}

function optionTable(command: Command): string {
  if (command.options.length === 0) return "";
  const rows = command.options.map((option) => {
    const shown =
      option.defaultValueDescription ?? (option.defaultValue === false ? undefined : option.defaultValue);
    const extra = [
      option.argChoices === undefined
        ? ""
        : `one of ${option.argChoices.map((choice) => `\`${choice}\``).join(", ")}`,
      shown === undefined || Array.isArray(shown) ? "" : `default \`${String(shown)}\``,
      option.envVar === undefined ? "" : `environment \`${option.envVar}\``,
      option.mandatory ? "required" : "",
    ].filter((text) => text !== "");
    return `| \`${option.flags.replaceAll("|", "\\|")}\` | ${[option.description, ...extra].join("; ")} |`;
  });
  return ["| option | meaning |\n| --- | --- |", ...rows].join("\n");
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** The generated pages: path from the root, and text. */
export function referencePages(): Map<string, string> {
  return new Map([
    ["docs/reference/errors.md", errorsPage()],
    ["docs/reference/command-line.md", commandLinePage()],
    ["docs/reference/limits.md", limitsPage(generated)],
    ["docs/reference/permissions.md", permissionsPage(generated)],
    ["examples/tenants/nats-server.conf", tenantsConfig()],
    ...schemaPages(version()),
  ]);
}

/** @returns the pages that are not as the code has them. */
export async function stalePages(root: string): Promise<string[]> {
  const stale: string[] = [];
  for (const [path, text] of referencePages()) {
    const written = await readFile(join(root, path), "utf8").catch(() => "");
    if (written !== text) stale.push(path);
  }
  const guide = await readFile(join(root, isolationGuide), "utf8").catch(() => "");
  if (guide !== withCases(guide)) stale.push(isolationGuide);
  return stale;
}

/** Writes all pages. */
export async function writePages(root: string): Promise<void> {
  for (const folder of ["docs/reference/messages", "examples/tenants"]) {
    await mkdir(join(root, folder), { recursive: true });
  }
  for (const [path, text] of referencePages()) await writeFile(join(root, path), text);
  const path = join(root, isolationGuide);
  const guide = withCases(await readFile(path, "utf8"));
  if (guide !== undefined) await writeFile(path, guide);
}
