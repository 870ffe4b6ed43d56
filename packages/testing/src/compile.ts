/** Builds small static executables with whatever compiler is at hand. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { defaultCacheDirectory } from "@nexengine/provision";
import { runProgram } from "@nexengine/provision/internal";
import { installPackages, type Report } from "./install.ts";

const compileTimeoutMs = 240_000;

/** A program that was built. */
export interface Compiled {
  path: string;
  /** The compiler that made it. */
  compiler: string;
}

const cCompilers = ["gcc", "cc", "musl-gcc", "clang"];

/** A way to build something. */
export interface Build {
  program: string;
  args(output: string): string[];
  environment?: Readonly<Record<string, string>>;
}

/**
 * Builds a C file statically; as root on Debian's kin it installs gcc when there is no compiler.
 *
 * @returns `undefined` when no compiler at hand can.
 */
export async function compileC(source: string, report: Report = () => {}): Promise<Compiled | undefined> {
  const builds = cCompilers.map((program) => ({
    program,
    args: (output: string) => ["-O2", "-static", "-o", output, source],
  }));
  const output = cachePath(readFileSync(source), "c");
  const built = await buildOnce(builds, output);
  if (built !== undefined) return built;
  if (!(await installPackages(["gcc", "libc6-dev"], report))) return undefined;
  return await buildOnce(builds, output);
}

/** Builds a folder of Go statically. @returns `undefined` when there is no Go. */
export async function compileGo(folder: string, report: Report = () => {}): Promise<Compiled | undefined> {
  const output = cachePath(goSources(folder), "go");
  if (!existsSync(output)) report("Building with Go, which takes a while the first time");
  return await buildOnce([goBuild(folder)], output);
}

/** The sources that a folder of Go is built from. */
export function goSources(folder: string): Buffer {
  const sources = readdirSync(folder).filter((name) => /\.go$|^go\.(mod|sum)$/.test(name));
  return Buffer.concat(sources.map((name) => readFileSync(join(folder, name))));
}

/** How a folder of Go is built; the environment says for what. */
export function goBuild(folder: string, environment: Readonly<Record<string, string>> = {}): Build {
  return {
    program: "go",
    args: (output) => ["build", "-C", folder, "-trimpath", "-ldflags=-s -w", "-o", output, "."],
    environment,
  };
}

/** Builds in the first way that works, unless it was built before. */
export async function buildOnce(builds: readonly Build[], output: string): Promise<Compiled | undefined> {
  if (existsSync(output)) return { path: output, compiler: builds[0]?.program ?? "" };
  for (const { program, args, environment } of builds) {
    // Under another name first: several builds may run at once.
    const path = `${output}.${randomBytes(4).toString("hex")}`;
    const env = { ...process.env, CGO_ENABLED: "0", ...environment };
    if ((await runProgram(program, args(path), { timeoutMs: compileTimeoutMs, env })).ok) {
      renameSync(path, output);
      return { path: output, compiler: program };
    }
    rmSync(path, { force: true });
  }
  return undefined;
}

/** Where what is built of these sources stays. */
export function cachePath(source: Uint8Array, language: string): string {
  const folder = join(defaultCacheDirectory(), "programs");
  mkdirSync(folder, { recursive: true });
  return join(
    folder,
    `${language}-${process.arch}-${createHash("sha256").update(source).digest("hex").slice(0, 16)}`,
  );
}
