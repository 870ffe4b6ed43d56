import { spawn } from "node:child_process";

const runTimeoutMs = 3_600_000;
const testTimeoutMs = 120_000;
const filesAtOnce = 2;

/** Options of a run: the files, and the place. */
export interface RunnerOptions {
  /** Files, patterns and options of Node's test runner. */
  args: string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
}

/** Runs tests with Node's runner, on our terminal. @returns its exit code, or 1 when a signal has ended it. */
export function runTests({ args, cwd, env }: RunnerOptions): Promise<number> {
  const flags = [
    "--conditions=nex-src",
    "--disable-warning=ExperimentalWarning",
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${filesAtOnce}`,
    `--test-timeout=${testTimeoutMs}`,
  ];
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(process.execPath, [...flags, ...args], {
    cwd,
    env,
    stdio: "inherit",
    timeout: runTimeoutMs,
    // On this one the runner says which tests still ran.
    killSignal: "SIGINT",
  });
  // We stay until it has ended, so that we can look for what it leaves behind.
  const forward = (signal: NodeJS.Signals) => {
    // The terminal sends its Ctrl-C to the runner too.
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, forward);
  child.once("error", reject);
  child.once("close", (code) => {
    for (const signal of signals) process.off(signal, forward);
    resolve(code ?? 1);
  });
  return promise;
}
