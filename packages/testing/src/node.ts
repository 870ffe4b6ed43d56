/** A real node for a test. */
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootFilesIn, type Driver, type SandboxKind } from "@nexengine/machines";
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

/** Options of a test's node: the options of a node, and the place of its NATS. */
export interface TestNodeOptions extends Omit<NodeOptions, "driver"> {
  /** URL of the nats-server; those of `login` come after it. */
  server: string;
  driver?: NodeOptions["driver"];
  /** The kind of machine, when there is no `driver`; `process` when absent. */
  sandbox?: SandboxChoice;
}

/** Where the kernel of microVMs is, if there is one. */
const bootDirectoryVariable = "NEX_TEST_BOOT_DIRECTORY";

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

/** Files that the machines of a test's node are made from. The rootfs goes with the directory for temporary files. */
export function testDriverFiles(): DriverFiles {
  const rootfsDirectory = join(tmpdir(), "nex-test-rootfs");
  mkdirSync(rootfsDirectory, { recursive: true });
  chmodSync(rootfsDirectory, 0o755);
  const boot = bootFilesIn(process.env[bootDirectoryVariable] ?? rootfsDirectory);
  return {
    agentPath: agentBundlePath(),
    rootfsDirectory,
    idsDirectory: join(tmpdir(), "nex-test-ids"),
    qemu: { accelerator: "tcg", ...boot },
    firecracker: { ...boot, ...firecrackerPrograms() },
  };
}

/** Where a test run has Firecracker and the jailer, if not on the path. */
const firecrackerDirectoryVariable = "NEX_TEST_FIRECRACKER_DIRECTORY";

function firecrackerPrograms(): { program?: string; jailer?: string } {
  const directory = process.env[firecrackerDirectoryVariable];
  if (directory === undefined) return {};
  return { program: join(directory, "firecracker"), jailer: join(directory, "jailer") };
}

const microVmKinds = ["qemu", "firecracker"] as const;
type MicroVmKind = (typeof microVmKinds)[number];
const shared = new Map<MicroVmKind, Promise<Driver>>();

function isMicroVm(kind: SandboxChoice): kind is MicroVmKind {
  return microVmKinds.some((one) => one === kind);
}

/** One driver of emulated microVMs for all nodes, probed once: a probe is a boot, which takes seconds there. */
function sharedDriver(kind: MicroVmKind): Promise<Driver> {
  const known = shared.get(kind);
  if (known !== undefined) return known;
  const choosing = (async (): Promise<Driver> => {
    const directory = join(tmpdir(), `nex-test-${kind}`);
    const driver = await driverSource({ sandbox: kind, files: testDriverFiles() }).choose(directory);
    const { enforces, networks, ownLoopback, carriesIpv6 } = driver;
    return {
      ...{ kind, enforces, networks, ownLoopback, carriesIpv6 },
      fingerprint: async () => ({ available: true, details: {} }),
      boot: (spec) => driver.boot(spec),
      recover: async (record) => await driver.recover?.(record),
    };
  })();
  shared.set(kind, choosing);
  return choosing;
}

/** Why machines of a kind can't be had here, if they can't. */
export async function unmetSandboxRequirement(kind: SandboxKind): Promise<string | undefined> {
  if (isMicroVm(kind)) {
    return await sharedDriver(kind).then(
      () => undefined,
      (error: NexError) => `${error.message}. ${error.advice}`,
    );
  }
  const directory = await mkdtemp(join(tmpdir(), "nex-sandbox-"));
  try {
    const { found } = await trySandbox(kind, testDriverFiles(), directory);
    return found.available ? undefined : `${found.reason}. ${found.advice}`;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Starts a node that joins the given server. */
export async function startTestNode(options: TestNodeOptions): Promise<NexNode> {
  const { server, driver, sandbox = "process", login, ...rest } = options;
  const found = isMicroVm(sandbox)
    ? await sharedDriver(sandbox)
    : driverSource({ sandbox, files: testDriverFiles() });
  return await startNode({
    ...rest,
    driver: driver ?? found,
    login: { ...login, servers: [server, ...(login?.servers ?? [])] },
  });
}
