/** `nex preflight`: what this host can do, found by trying, and what to do about the rest. */
import { existsSync, writeFileSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootFilesIn } from "@nexengine/machines";
import {
  type DriverFiles,
  defaultRootfsDirectory,
  type NodeConfigInput,
  type QemuFiles,
  readConfigFile,
  type SandboxChoice,
  type SandboxProbe,
  trySandboxes,
} from "@nexengine/node/internal";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { defaultCacheDirectory, findNatsServer } from "@nexengine/provision";
import { type Command, Option } from "commander";
import { colors as pc } from "../colors.ts";
import { commandName } from "../hints.ts";
import { addIdle, addSwitch, idleWarnings } from "../option-values.ts";
import { note, print, printJson } from "../output.ts";
import { driverFiles, probeLine, sandboxOf } from "../sandbox.ts";
import { addInstallOptions, type InstallOptions, install } from "./preflight-install.ts";

interface PreflightOptions extends InstallOptions {
  config?: string;
  init?: keyof typeof samples;
  check?: boolean;
  json: boolean;
}

/** One thing that was looked at. */
interface Finding {
  ok: boolean;
  /** Without it no node can start as it is configured here. */
  needed: boolean;
  text: string;
  advice: string;
}

const usualConfig = "./config.json";

const samples = {
  sandbox: {
    sandbox: "auto",
    machine_pool_size: 1,
    limits: {
      default: { memory_bytes: 536_870_912, vcpus: 1 },
      max: { memory_bytes: 2_147_483_648, vcpus: 2 },
    },
    valid_issuers: [],
  },
  nosandbox: { sandbox: "process", machine_pool_size: 1, valid_issuers: [] },
} as const;

/** Options of Go Nex that have no effect here: we do the same without them, or not at all. */
const idleSwitches = ["force", "verify", "verbose"] as const;
const idleValues = ["install_version", "cni_ns"] as const;

/** Adds the command. */
export function addPreflight(parent: Command): void {
  const command = parent
    .command("preflight")
    .description("probe what a node needs here, and list what is missing and how to install it")
    .option("--config <file>", `configuration file of the node (JSON); ${usualConfig} where there is one`)
    .addOption(
      new Option("--init <kind>", "first write a configuration, where there is none").choices(
        Object.keys(samples),
      ),
    )
    .option("--json", "print the findings as JSON", false);
  addInstallOptions(command);
  addSwitch(command, "check", "write nothing that stays, whatever else is said");
  for (const name of idleSwitches) {
    addIdle(command, `--${name}`);
    addIdle(command, `--no-${name}`);
  }
  for (const name of idleValues) addIdle(command, `--${name} <value>`);
  command.action(async (_: unknown, self: Command) => {
    await preflight(self.optsWithGlobals<PreflightOptions>());
  });
}

async function preflight(options: PreflightOptions): Promise<void> {
  for (const warning of idleWarnings(options, [...idleSwitches, ...idleValues])) note(warning);
  const path = options.config ?? usualConfig;
  if (options.init !== undefined && options.check !== true) writeSample(path, options.init);
  const { config, finding } = await findConfiguration(path, options.config !== undefined);
  if (options.install && options.check !== true) {
    await install(options, driverFiles(config).rootfsDirectory ?? defaultRootfsDirectory());
  }
  const sandbox = sandboxOf({}, config);
  const probes = await tryAll(config, sandbox, options.check === true);
  const works = ({ kind, found }: SandboxProbe): boolean =>
    found.available && (sandbox === "auto" ? kind !== "process" : kind === sandbox);
  const chosen = probes.find(works)?.kind;
  const findings = [finding, ...probes.map((probe) => ofProbe(probe, sandbox)), await findServer()];
  if (options.json) printJson({ sandbox: chosen ?? null, findings, trials: probes });
  else for (const one of findings) print(findingText(one));
  const ready = chosen !== undefined && findings.every(({ ok, needed }) => ok || !needed);
  if (!ready) throw notReady(sandbox);
  if (!options.json) print(`A node here keeps its workloads in machines of the kind ${pc.bold(chosen)}`);
}

function notReady(sandbox: string): NexError {
  return new NexError(
    "sandbox_unavailable",
    `No node can start here as it is configured (sandbox ${sandbox})`,
    {
      advice: `Do what stands above; or run what you trust without isolation: ${commandName()} node up --sandbox process`,
    },
  );
}

function writeSample(path: string, kind: keyof typeof samples): void {
  if (existsSync(path)) {
    note(`Left "${path}" as it is`);
    return;
  }
  try {
    writeFileSync(path, `${JSON.stringify(samples[kind], undefined, 2)}\n`, { flag: "wx" });
  } catch (cause) {
    throw new NexError("file_not_found", `Cannot write "${path}": ${errorText(cause)}`, { cause });
  }
  note(`Wrote "${path}"`);
}

/** @throws NexError `file_not_found` for a file that was named */
async function findConfiguration(
  path: string,
  isNamed: boolean,
): Promise<{ config: NodeConfigInput; finding: Finding }> {
  const finding = { ok: true, needed: true, advice: "" };
  if (!existsSync(path)) {
    if (isNamed) {
      throw new NexError(
        "file_not_found",
        `Cannot read the configuration file "${path}": there is no such file`,
        {
          advice: "Write one with: --init sandbox, or leave --config out",
        },
      );
    }
    const text = `configuration: "${path}" is not there, the defaults hold`;
    return { config: {}, finding: { ...finding, needed: false, text } };
  }
  try {
    const { config, warnings } = await readConfigFile(path);
    for (const warning of warnings) note(`${pc.yellow("Note:")} ${warning}`);
    return { config, finding: { ...finding, text: `configuration: "${path}"` } };
  } catch (error) {
    const text = `configuration: ${errorText(error)}`;
    return { config: {}, finding: { ok: false, needed: true, text, advice: "Mend the file" } };
  }
}

/**
 * Tries with a state of its own, so that a running node is not disturbed.
 *
 * @param leavesNothing Nor does a rootfs stay for the node that will be started.
 */
async function tryAll(
  config: NodeConfigInput,
  sandbox: SandboxChoice,
  leavesNothing: boolean,
): Promise<SandboxProbe[]> {
  const directory = await mkdtemp(join(tmpdir(), "nex-preflight-"));
  const files = driverFiles(config);
  try {
    if (!leavesNothing) return await trySandboxes(files, directory, sandbox);
    // Users without rights have to reach the rootfs.
    await chmod(directory, 0o711);
    const rootfsDirectory = join(directory, "rootfs");
    const qemu = withBootFiles(files);
    return await trySandboxes({ ...files, qemu, rootfsDirectory }, directory, sandbox);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Kernel and initramfs stay where they are when the rootfs is built elsewhere. */
function withBootFiles({ qemu = {}, rootfsDirectory }: DriverFiles): QemuFiles {
  return { ...bootFilesIn(rootfsDirectory ?? defaultRootfsDirectory()), ...qemu };
}

function ofProbe(probe: SandboxProbe, sandbox: string): Finding {
  const { kind, found } = probe;
  const text =
    kind === "process" && found.available ? "process: works, and isolates nothing" : probeLine(probe);
  return {
    ok: found.available,
    needed: kind === sandbox,
    text,
    advice: found.available ? "" : found.advice,
  };
}

async function findServer(): Promise<Finding> {
  const wanted = `only "${commandName()} up" needs one, and fetches it`;
  try {
    const binary = await findNatsServer({ cacheDirectory: defaultCacheDirectory() });
    const text =
      binary === undefined ? `nats-server: none here; ${wanted}` : `nats-server: ${binary.version}`;
    return { ok: binary !== undefined, needed: false, text, advice: "" };
  } catch (error) {
    return { ok: false, needed: false, text: `nats-server: ${errorText(error)}`, advice: "" };
  }
}

function findingText({ ok, needed, text, advice }: Finding): string {
  const mark = ok ? pc.green("✔") : needed ? pc.red("✘") : pc.yellow("–");
  return `${mark} ${text}${advice === "" ? "" : `\n    ${pc.dim("To have it:")} ${advice}`}`;
}
