/**
 * Makes the two bundles: the agent, one file that goes into every machine, and the command line.
 * Written under another name first and then renamed, since a running `nex` may be starting from the old one.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Bundle {
  entry: string;
  output: string;
  /** Started by name from a shell. */
  executable: boolean;
  external: string[];
}

const agent: Bundle = {
  entry: "packages/agent/src/main.ts",
  output: "agent.mjs",
  executable: false,
  external: [],
};
const nex: Bundle = {
  entry: "packages/cli/src/main.ts",
  output: "nex.mjs",
  executable: true,
  external: ["esbuild"],
};

/** Gives bundled CommonJS modules the `require` that a module file lacks. */
const requireBanner =
  'import { createRequire as nexCreateRequire } from "node:module";\nconst require = nexCreateRequire(import.meta.url);\n';

/** Where the bundles are. */
export interface BuildPaths {
  agentPath: string;
  nexPath: string;
}

/** Options of {@link build}. */
export interface BuildOptions {
  /** Where the bundles go; `dist` of the checkout unless told otherwise. */
  directory?: string;
  /** Is told what was made, one line each. */
  report?: (line: string) => void;
}

/** Bundles the agent and the command line from the sources. */
export async function build(options: BuildOptions = {}): Promise<BuildPaths> {
  const directory = options.directory ?? join(root, "dist");
  const report = options.report ?? (() => {});
  const startedAt = new Date();
  const paths = await Promise.all(
    [agent, nex].map((bundle) => buildOne(bundle, directory, startedAt, report)),
  );
  return { agentPath: paths[0] as string, nexPath: paths[1] as string };
}

async function buildOne(
  bundle: Bundle,
  directory: string,
  startedAt: Date,
  report: (line: string) => void,
): Promise<string> {
  const output = join(directory, bundle.output);
  const result = await esbuild.build({
    absWorkingDir: root,
    entryPoints: [bundle.entry],
    outfile: output,
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node24",
    conditions: ["nex-src"],
    external: bundle.external,
    treeShaking: true,
    legalComments: "none",
    logLevel: "warning",
  });
  const [file] = result.outputFiles;
  const code = file?.text.replace(/^#!.*\n/, "") ?? "";
  const head = bundle.executable ? "#!/usr/bin/env node\n" : "";
  const text = head + (/\b__require\b/.test(code) ? requireBanner : "") + code;
  await writeAtomically(output, text, bundle.executable ? 0o755 : 0o644, startedAt);
  report(`Built ${relative(root, output)} (${Math.round(Buffer.byteLength(text) / 1024)} KiB)`);
  return output;
}

/** The bundle counts as of the time that the build began, so that an edit during the build is seen as newer. */
async function writeAtomically(path: string, text: string, mode: number, time: Date): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, text, { mode });
    await utimes(temporary, time, time);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

if (import.meta.main) {
  const quiet = process.argv.includes("--quiet");
  try {
    await build(quiet ? {} : { report: (line) => console.log(line) });
  } catch (error) {
    // The bundler has printed what it found.
    if (!(error instanceof Error && "errors" in error)) throw error;
    console.error("Cannot build: the bundler found the errors above");
    process.exitCode = 1;
  }
}
