/** Builds small static executables with whatever compiler is at hand. */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { defaultCacheDirectory } from "@nexengine/node/internal";
import { installPackages, type Report } from "./install.ts";

const run = promisify(execFile);
const compileTimeoutMs = 240_000;

/** A program that was built. */
export interface Compiled {
  path: string;
  /** The compiler that made it. */
  compiler: string;
}

const cCompilers = ["gcc", "cc", "musl-gcc", "clang"];

/**
 * Builds a C file statically; as root on Debian's kin it installs gcc when there is no compiler.
 *
 * @returns `undefined` when no compiler at hand can.
 */
export async function compileC(source: string, report: Report = () => {}): Promise<Compiled | undefined> {
  const output = cachePath(readFileSync(source), "c");
  if (existsSync(output)) return { path: output, compiler: "gcc" };
  const build = (): Promise<Compiled | undefined> =>
    firstOf(cCompilers, output, (compiler, path) => [compiler, ["-O2", "-static", "-o", path, source]]);
  const built = await build();
  if (built !== undefined) return built;
  if (!(await installPackages(["gcc", "libc6-dev"], report))) return undefined;
  return build();
}

/** Builds a folder of Go statically. @returns `undefined` when there is no Go. */
export async function compileGo(folder: string, report: Report = () => {}): Promise<Compiled | undefined> {
  const sources = readdirSync(folder).filter((name) => /\.go$|^go\.(mod|sum)$/.test(name));
  const output = cachePath(Buffer.concat(sources.map((name) => readFileSync(join(folder, name)))), "go");
  if (existsSync(output)) return { path: output, compiler: "go" };
  report("Building with Go, which takes a while the first time");
  return firstOf(["go"], output, (compiler, path) => [
    compiler,
    ["build", "-C", folder, "-trimpath", "-ldflags=-s -w", "-o", path, "."],
  ]);
}

async function firstOf(
  compilers: readonly string[],
  output: string,
  command: (compiler: string, path: string) => [string, string[]],
): Promise<Compiled | undefined> {
  for (const compiler of compilers) {
    // Under another name first: several builds may run at once.
    const path = `${output}.${randomBytes(4).toString("hex")}`;
    const [program, args] = command(compiler, path);
    try {
      await run(program, args, { timeout: compileTimeoutMs, env: { ...process.env, CGO_ENABLED: "0" } });
      renameSync(path, output);
      return { path: output, compiler };
    } catch {
      rmSync(path, { force: true });
    }
  }
  return undefined;
}

function cachePath(source: Uint8Array, language: string): string {
  const folder = join(defaultCacheDirectory(), "programs");
  mkdirSync(folder, { recursive: true });
  return join(
    folder,
    `${language}-${process.arch}-${createHash("sha256").update(source).digest("hex").slice(0, 16)}`,
  );
}
