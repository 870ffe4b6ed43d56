/** Builds Wasm modules with whatever compiler is at hand. */

import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import wabt from "wabt";
import { type Build, buildOnce, type Compiled, cachePath, goBuild, goSources } from "./compile.ts";
import { installPackages, programsNamed, type Report } from "./install.ts";

const examples = join(import.meta.dirname, "../../../examples/wasm");
/** Packages of Debian's kin. */
const cPackages = ["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"];
const rustPackages = ["rustc", "lld", "libstd-rust-dev-wasm32"];
/** The target's name, and the one that earlier compilers have for it. */
const rustTargets = ["wasm32-wasip1", "wasm32-wasi"];

/**
 * Builds a module: a file in the text form (`.wat`), in C or in Rust, or a folder of Go. As root on Debian's kin it
 * installs the compiler that is missing.
 *
 * @returns `undefined` when no compiler at hand can.
 */
export async function compileWasm(source: string, report: Report = () => {}): Promise<Compiled | undefined> {
  if (statSync(source).isDirectory()) {
    const build = goBuild(source, { GOOS: "wasip1", GOARCH: "wasm" });
    return await buildOnce([build], cachePath(goSources(source), "go-wasm"));
  }
  const language = extname(source).slice(1);
  const output = cachePath(sourcesOf(source), `${language}-wasm`);
  if (language === "wat") return await assembleOnce(source, output);
  const isRust = language === "rs";
  const builds = isRust ? rustBuilds : cBuilds;
  const built = await buildOnce(builds(source), output);
  if (built !== undefined || !(await installPackages(isRust ? rustPackages : cPackages, report)))
    return built;
  return await buildOnce(builds(source), output);
}

/** Builds the examples in C and in Rust, before tests do so at the same time; says which can't be built. */
export async function prepareWasmExamples(report: Report): Promise<void> {
  for (const name of readdirSync(examples).filter((file) => /\.(c|rs)$/.test(file))) {
    if ((await compileWasm(join(examples, name), report)) !== undefined) continue;
    const packages = name.endsWith(".rs") ? rustPackages : cPackages;
    report(
      `examples/wasm/${name} is not tested: no compiler here builds it. apt-get install ${packages.join(" ")}`,
    );
  }
}

/** Translates the text form of a module. */
export async function assemble(text: string): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  const module = parseWat("module.wat", text);
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

/** The file and the headers beside it. */
function sourcesOf(source: string): Buffer {
  const headers = readdirSync(dirname(source)).filter((name) => name.endsWith(".h"));
  return Buffer.concat(
    [source, ...headers.map((name) => join(dirname(source), name))].map((path) => readFileSync(path)),
  );
}

async function assembleOnce(source: string, output: string): Promise<Compiled> {
  if (!existsSync(output)) {
    const path = `${output}.${randomBytes(4).toString("hex")}`;
    writeFileSync(path, await assemble(readFileSync(source, "utf8")));
    renameSync(path, output);
  }
  return { path: output, compiler: "wabt" };
}

function cBuilds(source: string): Build[] {
  return [
    { program: "clang", args: (output) => ["--target=wasm32-wasi", "-O2", "-s", "-o", output, source] },
  ];
}

/** Every compiler on the path: the first one may lack the target. */
function rustBuilds(source: string): Build[] {
  return programsNamed("rustc").flatMap((program) =>
    rustTargets.map((target) => ({
      program,
      args: (output) => ["--target", target, "-O", "-C", "strip=symbols", "-o", output, source],
    })),
  );
}
