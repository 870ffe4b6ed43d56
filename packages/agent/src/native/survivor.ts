/**
 * Ends a service whose agent was killed. The kernel kills an agent of the process sandbox with its node, which leaves
 * the agent no time for its service; a container or a microVM ends as a whole and needs none of this.
 */
import type { ChildProcess, spawn } from "node:child_process";

const shell = "/bin/sh";
/** The grace that a service gets by default. */
const graceMs = 1_500;
const lookIntervalMs = 100;

/** Waits for the end of its standard input, which is the agent's; then asks the service, waits, and kills its group. */
const script = `
trap '' INT TERM HUP
read -r nothing
kill -INT "$1" 2> /dev/null
looks=${graceMs / lookIntervalMs}
while [ "$looks" -gt 0 ] && kill -0 "$1" 2> /dev/null; do
  sleep ${lookIntervalMs / 1_000}
  looks=$((looks - 1))
done
kill -KILL "-$1" 2> /dev/null`;

/** A process that outlives the agent for the time that its service has to end. */
export class Survivor {
  readonly #child: ChildProcess;

  /** @param start Given by the caller, who loads `node:child_process` only where a service runs. */
  constructor(servicePid: number, start: typeof spawn) {
    this.#child = start(shell, ["-c", script, "nex-survivor", String(servicePid)], {
      cwd: "/",
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    // A host without a shell has no such process; there the next node ends the service.
    this.#child.on("error", () => undefined);
    this.#child.stdin?.on("error", () => undefined);
    this.#child.unref();
  }

  /** The service has ended, and its number may become another's. */
  dismiss(): void {
    this.#child.kill("SIGKILL");
  }
}
