/** Makes the hostile agent: one file, like the real one, which is in it for all machines that are not chosen. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { agentBundlePath } from "@nexengine/testing";

/** Where a host that can't build it has it. */
const hostileAgentVariable = "NEX_TEST_HOSTILE_AGENT";

/** @returns its path. */
export async function buildHostileAgent(directory: string): Promise<string> {
  const built = process.env[hostileAgentVariable];
  if (built !== undefined) return built;
  const outfile = join(directory, "hostile-agent.mjs");
  const { build, stop } = await import("esbuild");
  const honest = `data:text/javascript;base64,${readFileSync(agentBundlePath()).toString("base64")}`;
  await build({
    entryPoints: [join(import.meta.dirname, "../agent/main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    conditions: ["nex-src"],
    define: { honestAgent: JSON.stringify(honest) },
    logLevel: "warning",
  });
  // Its process would stay in the control group of the test.
  await stop();
  return outfile;
}
