/** Firecracker where KVM does not work: the same rows, measured in an emulated host. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTree } from "../../../packages/machines/src/host/remove-tree.ts";
import { runInEmulatedHost } from "../../../packages/testing/src/emulated-host/emulated-host.ts";
import {
  prepareFirecrackerPlace,
  scriptInFirecrackerPlace,
} from "../../../packages/testing/src/emulated-host/firecracker-place.ts";
import { testNatsServer } from "../../../packages/testing/src/nats-server.ts";
import { agentBundlePath } from "../../../packages/testing/src/node.ts";
import { row } from "../support.ts";

/** An emulated host may stall once, under a host that has no time for it; then all rows are printed anew. */
const tries = 2;
const timeoutMs = 900_000;
const tools = join(import.meta.dirname, "../..");
const program = join("/nex/tools/bench/microvms", "in-emulated-host.ts");

/** Prints the rows of Firecracker in an emulated host, or why there are none. */
export async function benchInEmulatedHost(): Promise<void> {
  process.env["NEX_NATS_SERVER"] ??= (await testNatsServer()).path;
  const directory = await mkdtemp(join(tmpdir(), "nex-place-"));
  try {
    const place = await prepareFirecrackerPlace(directory, [agentBundlePath()]);
    if ("unmetRequirement" in place)
      return row("firecracker, in an emulated host", `not run: ${place.unmetRequirement}`);
    console.log(`Firecracker ${place.version} by a KVM that is emulated: only ratios tell something`);
    for (let attempt = 1; attempt <= tries; attempt++) {
      const { status } = await runInEmulatedHost({
        ...place,
        files: { ...place.files, "/nex/tools": tools },
        command: scriptInFirecrackerPlace(program),
        timeoutMs,
        onOutput: (text) => process.stdout.write(text),
      });
      if (status === 0) return;
      console.log(
        `\nThe emulated host has ended with ${status ?? "no word"} (attempt ${attempt} of ${tries})`,
      );
    }
    process.exitCode = 1;
  } finally {
    await removeTree(directory);
  }
}
