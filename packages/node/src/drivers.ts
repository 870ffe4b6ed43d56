/** The one file that names the drivers. */
import { type Driver, ProcessDriver } from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/internal";

/** What the kinds of machine are made from. */
export interface DriverFiles {
  /** The agent's bundle. */
  agentPath: string;
  /** The Node that runs it; this process's own when absent. */
  nodePath?: string;
}

/** What the agent's Node is started with, in every sandbox. */
const agentNodeFlags = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"];

/**
 * Makes the driver that a configuration asks for.
 *
 * @throws NexError `sandbox_unavailable`
 */
export function createDriver(sandbox: string, files: DriverFiles): Driver {
  const node = files.nodePath ?? process.execPath;
  if (sandbox === "process") {
    return new ProcessDriver({ command: [node, ...agentNodeFlags, files.agentPath, "--channels=fd"] });
  }
  throw new NexError(
    "sandbox_unavailable",
    `Cannot make machines of the kind "${sandbox}": only "process" is there yet`,
  );
}
