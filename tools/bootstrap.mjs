#!/usr/bin/env node
/**
 * The first script: plain JavaScript without dependencies, for Node 20.19 and later. It sets the checkout up when
 * that is needed (`npm ci`), picks a Node that runs our TypeScript unbuilt, and runs a command of `tools/` on it.
 * Called through the link `nex` it is the command line of Nex, built anew when a source has changed.
 */
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { basename, delimiter, join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const commands = ["test", "demo", "check", "fix", "build", "bench", "picture", "fuzz", "mutants"];
const nodeFlags = ["--conditions=nex-src", "--disable-warning=ExperimentalWarning"];
const nodeMinimum = [20, 19];
const nodeOfSources = 24;
/** From here on Node computes wrong results without this option; see `packages/protocol/src/node-runtime.ts`. */
const wrongFromMajor = 26;
const repairFlag = "--no-function-context-cells";
const installTimeoutMs = 600_000;
const startTimeoutMs = 10_000;
const lockWaitMs = installTimeoutMs + 30_000;
const lockPollMs = 200;
const installOutputCharactersMax = 64 * 1024;
const stampPath = join(root, "node_modules", ".nex-setup");
const ownNpmCache = join(root, ".nex", "npm-cache");
const lockPath = join(root, ".nex", "setup.lock");

/** Packages of Debian that have the libraries of Node, which a small system lacks. */
const packagesOfLibraries = {
  "libatomic.so.1": "libatomic1",
  "libstdc++.so.6": "libstdc++6",
  "libgcc_s.so.1": "libgcc-s1",
};

/** Ends the run with words for the person who started it. */
class SetupError extends Error {}

await main();

async function main() {
  try {
    refuseOldNode();
    const args = process.argv.slice(2);
    if (basename(process.argv[1] ?? "") === "nex") await runCommandLine(args);
    else await runTool(args);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}

function refuseOldNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [leastMajor, leastMinor] = nodeMinimum;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return;
  throw new SetupError(
    `Cannot start Nex: this is Node ${process.versions.node}, and ${nodeMinimum.join(".")} or later is needed; ` +
      "install a newer Node and run the same command again",
  );
}

/** `node tools/bootstrap.mjs COMMAND [ARGS]`. */
async function runTool([command, ...args]) {
  if (command !== "run" && !commands.includes(command)) {
    const problem = command === undefined ? "no command given" : `there is no command "${command}"`;
    throw new SetupError(
      `Cannot run: ${problem}; use one of ${commands.join(", ")}, or run FILE [ARGS] for a TypeScript file`,
    );
  }
  if (command === "run" && args.length === 0)
    throw new SetupError("Cannot run: no file given; use run FILE [ARGS]");
  await setUp();
  const node = pickNode();
  if (command === "run") return endLike(await run(node.path, [...node.flags, ...nodeFlags, ...args]), node);
  const script = join(root, "tools", `${command}.ts`);
  if (!fs.existsSync(script))
    throw new SetupError(`Cannot run "${command}": tools/${command}.ts is not there`);
  endLike(await run(node.path, [...node.flags, ...nodeFlags, script, ...args]), node);
}

/** `./nex [ARGS]`. A Node that is new enough becomes the command line itself: no second process. */
async function runCommandLine(args) {
  await setUp();
  const node = pickNode();
  const bundle = join(root, "dist", "nex.mjs");
  if (!isBuilt()) {
    const args = [...node.flags, ...nodeFlags, join(root, "tools", "build.ts"), "--quiet"];
    const ended = await run(node.path, args, { stdout: 2 });
    if (ended.code !== 0) return endLike(ended, node);
    if (!fs.existsSync(bundle))
      throw new SetupError("Cannot run nex: the build has not made dist/nex.mjs; npm run build says why");
  }
  if (!node.isOurs) return endLike(await run(node.path, [...node.flags, bundle, ...args]), node);
  process.argv[1] = bundle;
  await import(pathToFileURL(bundle).href);
}

/**
 * The Node that runs everything after this script, and its options: the person's own if it is new enough and computes
 * right results, else the one from the set-up.
 */
function pickNode() {
  const major = Number.parseInt(process.versions.node, 10);
  const isWrong = major >= wrongFromMajor && !process.execArgv.includes(repairFlag);
  if (major >= nodeOfSources && !isWrong) {
    return {
      path: process.execPath,
      flags: process.execArgv.filter((flag) => flag === repairFlag),
      isOurs: true,
    };
  }
  const own = join(root, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
  const isThere = fs.existsSync(own);
  if (isWrong) {
    const instead = isThere ? "runs on the Node of its set-up" : `starts it with ${repairFlag}`;
    process.stderr.write(
      `Node ${process.versions.node} computes wrong results (its V8 miscompiles closures), so Nex ${instead}; ` +
        `Node ${nodeOfSources} does not need that\n`,
    );
  }
  if (isThere) return { path: own, flags: [] };
  if (isWrong) return { path: process.execPath, flags: [repairFlag] };
  throw new SetupError(
    `Cannot run Nex on Node ${process.versions.node}: ${nodeOfSources} or later is needed, and the set-up brings ` +
      `its own Node for Linux on x64 and arm64 only, not for ${process.platform} on ${process.arch}; ` +
      `install Node ${nodeOfSources} or later and run the same command again`,
  );
}

// ── Set-up ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Installs the pinned packages when they are not there, one run at a time. */
async function setUp() {
  const wanted = stampOf(fs.readFileSync(join(root, "package-lock.json"), "utf8"));
  if (readIfThere(stampPath) === wanted) return;
  if (matchesLockFile()) return void writeStamp(wanted);
  await withLock(async () => {
    if (readIfThere(stampPath) === wanted) return;
    const why = fs.existsSync(join(root, "node_modules"))
      ? "node_modules does not match package-lock.json"
      : "node_modules is not there yet";
    process.stderr.write(`Installing the pinned packages with npm ci, because ${why}\n`);
    await install();
    writeStamp(wanted);
  });
}

/** A copy of the lock file, not a hash: loading `node:crypto` would cost every start of `./nex` 3 to 7 ms. */
function stampOf(lockFile) {
  return `${process.platform}-${process.arch}\n${lockFile}`;
}

/** Whether an `npm install` by hand has put exactly what the lock file names in place (npm keeps its own record). */
function matchesLockFile() {
  const record = readIfThere(join(root, "node_modules", ".package-lock.json"));
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  const locked = Object.entries(
    JSON.parse(fs.readFileSync(join(root, "package-lock.json"), "utf8")).packages,
  );
  return locked.every(([path, entry]) => {
    if (!path.startsWith("node_modules/")) return true;
    const there = installed[path];
    if (there === undefined) return entry.optional === true && !isForThisMachine(entry);
    // The record alone does not do: npm install --package-lock-only writes it without an installation.
    const isInstalled = entry.link === true || versionIn(path) === entry.version;
    return there.version === entry.version && there.integrity === entry.integrity && isInstalled;
  });
}

function versionIn(path) {
  const text = readIfThere(join(root, path, "package.json"));
  return text === undefined ? undefined : JSON.parse(text).version;
}

/** Packages that differ by C library come in pairs, of which npm takes one. */
function isForThisMachine(entry) {
  if (entry.libc !== undefined) return false;
  const fits = (names, name) => names === undefined || [names].flat().includes(name);
  return fits(entry.os, process.platform) && fits(entry.cpu, process.arch);
}

/** A checkout that we may only read is used as it is. */
function writeStamp(text) {
  try {
    fs.writeFileSync(stampPath, text);
  } catch (error) {
    if (!["EACCES", "EROFS"].includes(error.code)) throw error;
  }
}

async function install() {
  let output = "";
  const keep = (chunk) => {
    output = (output + chunk).slice(-installOutputCharactersMax);
  };
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  // The Node in node_modules is about to be replaced: npm must not run on it.
  const outside = (path) => !path.startsWith(join(root, "node_modules") + sep);
  const path = (process.env.PATH ?? "").split(delimiter).filter(outside).join(delimiter);
  const cache = npmCache();
  const ended = await run("npm", args, {
    cwd: root,
    env: { ...process.env, PATH: path, npm_config_cache: cache },
    onOutput: keep,
    timeoutMs: installTimeoutMs,
  });
  if (cache === ownNpmCache) fs.rmSync(cache, { recursive: true, force: true });
  if (ended.code === 0) return;
  if (ended.interrupted) return endLike(ended);
  if (ended.missing) {
    throw new SetupError(
      "Cannot install the packages: npm is not on the PATH; install it and run the same command again",
    );
  }
  const state = ended.timedOut
    ? `still ran after ${installTimeoutMs / 1000} s`
    : `ended with ${ended.code ?? ended.signal}`;
  throw new SetupError(
    `${output.trimEnd()}\nCannot install the packages: npm ci ${state} (its words are above); ` +
      "check that npm reaches its registry and run the same command again",
  );
}

/** Where npm keeps what it downloads: the usual place, or one of ours for a person without a home to write to. */
function npmCache() {
  const usual = process.env.npm_config_cache ?? join(process.env.HOME || "/nonexistent", ".npm");
  try {
    fs.mkdirSync(usual, { recursive: true });
    fs.accessSync(usual, fs.constants.W_OK);
    return usual;
  } catch {
    return ownNpmCache;
  }
}

/** Runs `work` while no other run does. The lock is a link whose target is the owner's pid: made and read in one step. */
async function withLock(work) {
  fs.mkdirSync(join(root, ".nex"), { recursive: true });
  const deadline = Date.now() + lockWaitMs;
  let told = false;
  while (!takeLock()) {
    const owner = lockOwner();
    if (owner !== undefined && !isAlive(owner)) {
      breakLock(owner);
      continue;
    }
    if (Date.now() > deadline) {
      throw new SetupError(
        `Cannot set up: process ${owner} has been at it for ${lockWaitMs / 1000} s; ` +
          `end it, or remove ${lockPath} if it has nothing to do with Nex`,
      );
    }
    if (!told) process.stderr.write(`Waiting for the set-up that process ${owner} is doing\n`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, lockPollMs));
  }
  try {
    await work();
  } finally {
    fs.rmSync(lockPath, { force: true });
  }
}

function takeLock() {
  try {
    fs.symlinkSync(String(process.pid), lockPath);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw new SetupError(
      `Cannot set up: ${root} can't be written (${error.code}); make it writable or use a copy of it`,
    );
  }
}

function lockOwner() {
  try {
    return Number(fs.readlinkSync(lockPath));
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Takes a dead owner's lock away; one that another run has made in between goes back to where it was. */
function breakLock(owner) {
  const aside = `${lockPath}.${process.pid}`;
  try {
    fs.renameSync(lockPath, aside);
    if (fs.readlinkSync(aside) === String(owner)) fs.rmSync(aside, { force: true });
    else fs.renameSync(aside, lockPath);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
}

function readIfThere(path) {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

// ── Build ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whether both bundles are at least as new as every source and everything that decides how they are made. */
function isBuilt() {
  const times = ["nex.mjs", "agent.mjs"].map((name) => mtimeMs(join(root, "dist", name)));
  const oldest = Math.min(...times);
  if (oldest === 0) return false;
  const packages = join(root, "packages");
  for (const file of ["package-lock.json", join("tools", "build.ts")]) {
    if (mtimeMs(join(root, file)) > oldest) return false;
  }
  return fs.readdirSync(packages).every((name) => {
    const folder = join(packages, name);
    return mtimeMs(join(folder, "package.json")) <= oldest && !hasNewer(join(folder, "src"), oldest);
  });
}

/** Folders count too: they show what was removed. */
function hasNewer(folder, timeMs) {
  if (mtimeMs(folder) > timeMs) return true;
  let entries = [];
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
  }
  return entries.some((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return hasNewer(path, timeMs);
    return !entry.name.endsWith(".test.ts") && mtimeMs(path) > timeMs;
  });
}

function mtimeMs(path) {
  return fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

// ── Child processes ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Runs a program to its end, with our terminal unless `onOutput` takes what it prints. A signal to us goes on to it,
 * and we stay until it has ended.
 */
function run(program, args, { cwd, env = process.env, onOutput, stdout, timeoutMs } = {}) {
  const stdio = onOutput ? ["ignore", "pipe", "pipe"] : ["inherit", stdout ?? "inherit", "inherit"];
  const child = spawn(program, args, { cwd, env, stdio });
  child.stdout?.setEncoding("utf8").on("data", onOutput);
  child.stderr?.setEncoding("utf8").on("data", onOutput);
  const ended = { code: null, signal: null, interrupted: false, missing: false, timedOut: false };
  const forward = (signal) => {
    ended.interrupted = true;
    // The terminal sends these to the whole group: the child has had its own.
    if (signal !== "SIGTERM" && isInForeground()) return;
    child.kill(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"];
  for (const signal of signals) process.on(signal, forward);
  const timer = timeoutMs && setTimeout(() => (ended.timedOut = child.kill("SIGKILL")), timeoutMs);
  return new Promise((resolve, reject) => {
    const settle = (how) => {
      clearTimeout(timer);
      for (const signal of signals) process.off(signal, forward);
      resolve({ ...ended, ...how });
    };
    child.once("error", (error) => (error.code === "ENOENT" ? settle({ missing: true }) : reject(error)));
    child.once("close", (code, signal) => settle({ code, signal }));
  });
}

/** Whether a terminal counts us to the group that gets its Ctrl-C. */
function isInForeground() {
  if (![0, 1, 2].some((fd) => process[["stdin", "stdout", "stderr"][fd]].isTTY)) return false;
  const stat = readIfThere("/proc/self/stat");
  if (stat === undefined) return true;
  const [, , group, , , foreground] = stat
    .slice(stat.lastIndexOf(")") + 1)
    .trim()
    .split(" ");
  return group === foreground;
}

/** Ends as the child has ended: by the same code or the same signal. @param node The child, if it is a Node. */
function endLike({ code, signal, missing, interrupted }, node) {
  if (node !== undefined && !interrupted && (missing || code === 127)) demandStartable(node.path);
  if (signal === null) process.exit(code ?? 1);
  process.kill(process.pid, signal);
  // A signal whose usual effect is not to end us, or that is still on its way.
  setTimeout(() => process.exit(1), 1000);
}

/** @throws SetupError when the system can't start this Node: says what is missing instead of the loader's words. */
function demandStartable(path) {
  const tried = spawnSync(path, ["--version"], { encoding: "utf8", timeout: startTimeoutMs });
  if (tried.status === 0) return;
  if (!fs.existsSync(path))
    throw new SetupError("Cannot run: the Node of the set-up is gone; remove node_modules and try again");
  const library = /([\w+.-]+\.so[.\d]*): cannot open shared object/.exec(tried.stderr ?? "")?.[1];
  const name = packagesOfLibraries[library];
  const advice =
    name === undefined ? "install the package that has it" : `install it (Debian: apt-get install ${name})`;
  if (library !== undefined)
    throw new SetupError(
      `Cannot start the Node of the set-up: this system lacks the library ${library}; ${advice}, ` +
        `or put Node ${nodeOfSources} on the PATH, and run the same command again`,
    );
  throw new SetupError(
    `Cannot start the Node of the set-up: ${(tried.stderr || tried.error?.code) ?? "it ends at once"}; ` +
      `it needs Linux with the GNU C library; put Node ${nodeOfSources} on the PATH and run the same command again`,
  );
}
