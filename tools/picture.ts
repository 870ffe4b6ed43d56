/**
 * Draws `docs/demo.svg`, the picture of the README, from a real run: `npm run picture`. Needs nothing but what
 * `npm run demo` needs.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { build } from "./build.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const title = "A terminal in which nex up, devrun, request, ps and stop are run";
const commands = [
  ["devrun", "examples/echo/echo.js", "--memory", "128MiB"],
  ["request", "default.echo", "hello"],
  ["ps"],
  ["stop", "echo"],
];
const lineHeight = 20;
const columnWidth = 8.43;
const margin = 20;
/** A node's id would be the widest thing by far. */
const idPattern = /\bN[A-Z2-7]{55}\b/g;

interface Line {
  text: string;
  command: boolean;
}

/** Runs a command in a home of the picture's own. @returns what it printed. */
async function outputOf(nexPath: string, args: readonly string[], home: string): Promise<string> {
  const child = spawn(process.execPath, [nexPath, ...args], { cwd: root, env: environment(home) });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
  }
  await once(child, "close");
  return output;
}

function environment(home: string): NodeJS.ProcessEnv {
  return { ...process.env, HOME: home, NO_COLOR: "1" };
}

async function record(nexPath: string, home: string): Promise<Line[]> {
  const up = spawn(process.execPath, [nexPath, "up"], {
    cwd: root,
    env: environment(home),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let greeting = "";
  const ready = new Promise<void>((resolve) => {
    up.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      greeting += chunk;
      if (greeting.includes("Ctrl-C here")) resolve();
    });
  });
  await Promise.race([ready, once(up, "exit")]);
  const lines = linesOf(["up"], greeting.split("\n\n")[0] ?? "");
  for (const args of commands) {
    const output = await outputOf(nexPath, args, home);
    lines.push({ text: "", command: false }, ...linesOf(args, output));
  }
  up.kill("SIGINT");
  await once(up, "exit");
  return lines;
}

function linesOf(args: readonly string[], output: string): Line[] {
  const printed = stripVTControlCharacters(output)
    .split("\n")
    .filter((text) => text !== "" && !/^(?:Wrote|Fetching|Port|nats-server)/.test(text));
  return [
    { text: `$ ./nex ${args.join(" ")}`, command: true },
    ...printed.map((text) => ({
      text: text.replace(idPattern, (id) => `${id.slice(0, 8)}…${id.slice(-4)}`),
      command: false,
    })),
  ];
}

function draw(lines: readonly Line[]): string {
  const escaped = (text: string): string =>
    text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const columns = Math.max(...lines.map(({ text }) => text.length));
  const width = Math.ceil(columns * columnWidth + 2 * margin);
  const height = lines.length * lineHeight + 2 * margin;
  const rows = lines.map(({ text, command }, at) => {
    const y = margin + (at + 0.7) * lineHeight;
    // Frames must close, whatever the font's width of their corners.
    const drawn = /[│╭╰]/.test(text) ? ` textLength="${Math.round(text.length * columnWidth)}"` : "";
    const weight = command ? ' font-weight="bold"' : "";
    return `<text x="${margin}" y="${y}"${drawn}${weight}>${escaped(text)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14">`,
    `<title>${title}</title>`,
    '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>',
    `<g fill="#e6edf3" xml:space="preserve">`,
    ...rows,
    "</g></svg>\n",
  ].join("\n");
}

const { nexPath } = await build();
const home = await mkdtemp(join(tmpdir(), "nex-picture-"));
try {
  await writeFile(join(root, "docs/demo.svg"), draw(await record(nexPath, home)));
} finally {
  await rm(home, { recursive: true, force: true });
}
