/** A real node for a test. */
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SandboxKind } from "@nexengine/machines";
import {
  type DriverFiles,
  driverSource,
  type NexNode,
  type NodeOptions,
  type SandboxChoice,
  startNode,
  trySandbox,
} from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol";

/** What a test's node is started with: the options of a node, and where its NATS is. */
export interface TestNodeOptions extends Omit<NodeOptions, "driver"> {
  /** URL of the nats-server; those of `login` come after it. */
  server: string;
  driver?: NodeOptions["driver"];
  /** The kind of machine, when there is no `driver`; `process` when absent. */
  sandbox?: SandboxChoice;
}

/** The agent's bundle, as the build makes it. */
export function agentBundlePath(): string {
  const path = join(import.meta.dirname, "../../../dist/agent.mjs");
  if (!existsSync(path)) {
    throw new NexError("file_not_found", `Cannot start a node: the agent's bundle "${path}" is not built`, {
      advice: "Run: npm run build",
    });
  }
  return path;
}

/** What the machines of a test's node are made from. The rootfs goes with the directory for temporary files. */
export function testDriverFiles(): DriverFiles {
  const rootfsDirectory = join(tmpdir(), "nex-test-rootfs");
  mkdirSync(rootfsDirectory, { recursive: true });
  chmodSync(rootfsDirectory, 0o755);
  return {
    agentPath: agentBundlePath(),
    rootfsDirectory,
    idsDirectory: join(tmpdir(), "nex-test-ids"),
  };
}

/** Why machines of a kind can't be had here, if they can't. */
export async function sandboxLack(kind: SandboxKind): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "nex-sandbox-"));
  try {
    const { found } = await trySandbox(kind, testDriverFiles(), directory);
    return found.available ? undefined : `${found.reason}. ${found.advice}`;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Starts a node that joins the given server. */
export function startTestNode(options: TestNodeOptions): Promise<NexNode> {
  const { server, driver, sandbox = "process", login, ...rest } = options;
  return startNode({
    ...rest,
    driver: driver ?? driverSource({ sandbox, files: testDriverFiles() }),
    login: { ...login, servers: [server, ...(login?.servers ?? [])] },
  });
}
