/** `nex`: the command line of Nex. */
import { repairRuntime } from "@nexengine/protocol/internal";
import { runCommandLine } from "./program.ts";

repairRuntime();

// Whoever read the results has gone, as in `nex ps | head -1`: a command ends, and what stays ends as it should.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.kill(process.pid, "SIGTERM");
});
// That nobody reads what is said beside them harms nothing.
process.stderr.on("error", () => undefined);

process.exitCode = await runCommandLine(process.argv.slice(2));
