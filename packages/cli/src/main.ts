/** `nex`: the command line of Nex. */
import { errorText, exitStatus } from "@nexengine/protocol/errors";
import { repairRuntime } from "@nexengine/protocol/node-runtime";
import { note } from "./output.ts";
import { runCommandLine } from "./program.ts";

/** The exit status that a shell shows for a program that SIGPIPE ended. */
const brokenPipeStatus = 141;

const repaired = repairRuntime();
if (repaired !== undefined) note(repaired);

// Results that can't be written: a command ends at once, and what stays ends as it should.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  const isUnread = error.code === "EPIPE";
  // Whoever read the results has gone, as in `nex ps | head -1`, which is no news.
  if (!isUnread) note(`Error: Cannot write the results: ${errorText(error)}`);
  const status = isUnread ? brokenPipeStatus : exitStatus.internal;
  if (process.listenerCount("SIGTERM") === 0) process.exit(status);
  process.once("exit", () => {
    process.exitCode = status;
  });
  process.kill(process.pid, "SIGTERM");
});
// That nobody reads what is said beside them harms nothing.
process.stderr.on("error", () => undefined);
// An empty HOME would make every path in it one of the working directory.
if (process.env["HOME"] === "") delete process.env["HOME"];

process.exitCode = await runCommandLine(process.argv.slice(2));
