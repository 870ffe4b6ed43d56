import { randomBytes } from "node:crypto";
import { chmod, mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { removeTree } from "../host/remove-tree.ts";
import { newToken } from "../microvm/epoch-mark.ts";
import { MicroVm, tellInit } from "../microvm/machine.ts";
import { FirecrackerApi } from "./api.ts";
import { bootFirecracker, inNewJail } from "./boot.ts";
import type { FirecrackerHost } from "./host.ts";
import { type Furniture, jail } from "./jail.ts";
import { jailNames, jailOf, templatesDirectory } from "./layout.ts";
import { newTemplateId } from "./template-id.ts";

/** Before this no node speaks: a template is ready when its agent has answered to it. */
const templateEpoch = 0;
const seedBytes = 32;
const nanosecondsPerMs = 1_000_000n;
const msPerSecond = 1_000n;
/** A template is as large as the memory of its machines. */
const templatesMax = 4;

/** What machines are made from that are alike: the memory and state of one whose agent was ready, and its own disk. */
interface Template {
  directory: string;
  files: Furniture;
}

/**
 * Makes machines by copying one that has booted, which takes a fraction of the time. The second machine of a kind makes
 * the template, since one that is never asked for again needs none.
 */
export class Templates {
  readonly #host: FirecrackerHost;
  readonly #asked = new Set<string>();
  readonly #made = new Map<string, Promise<Template | undefined>>();

  constructor(host: FirecrackerHost) {
    this.#host = host;
  }

  /**
   * Makes a machine in the way that is quickest for its kind.
   *
   * @throws MachineError `boot_failed`; then nothing of it is left.
   */
  async boot(spec: MachineSpec): Promise<MicroVm> {
    const template = await this.#for(spec);
    if (template === undefined) return await bootFirecracker(this.#host, spec);
    return await restore(this.#host, spec, template.files);
  }

  /** Removes all templates; what is asked for later makes new ones. */
  async clear(): Promise<void> {
    this.#asked.clear();
    const made = [...this.#made.values()];
    this.#made.clear();
    for (const template of await Promise.all(made)) if (template) await removeTree(template.directory);
  }

  async #for(spec: MachineSpec): Promise<Template | undefined> {
    if (!this.#host.settings.templates) return undefined;
    const kind = kindOf(spec);
    const known = this.#made.get(kind);
    if (known !== undefined) return await known;
    if (!this.#asked.has(kind)) {
      this.#asked.add(kind);
      return undefined;
    }
    if (this.#made.size >= templatesMax) return undefined;
    // Where none can be made, each machine boots by itself.
    const making = makeTemplate(this.#host, spec).catch(() => undefined);
    this.#made.set(kind, making);
    return await making;
  }
}

/** Machines with the same of these are alike until their agents are spoken to. */
function kindOf({ limits, network, hosts, loopbackAddresses, nodeLostTimeoutMs }: MachineSpec): string {
  return JSON.stringify({ limits, network, hosts, loopbackAddresses, nodeLostTimeoutMs });
}

/** Boots a machine until its agent is ready, and writes down what it is then. */
async function makeTemplate(host: FirecrackerHost, like: MachineSpec): Promise<Template> {
  const { settings } = host;
  const id = newTemplateId();
  const directory = join(templatesDirectory(settings.stateDirectory), id);
  const own = join(directory, "machine");
  const { root } = jailOf(settings.stateDirectory, id);
  await mkdir(own, { recursive: true, mode: 0o700 });
  let machine: MicroVm | undefined;
  try {
    machine = await bootFirecracker(host, { ...like, id, directory: own, isTemplate: true });
    // They end with the copy, and so the time begins in which the agent of a copy waits for its node.
    using _channels = await openToAgent(host, machine);
    const api = new FirecrackerApi(root, settings.apiTimeoutMs);
    await api.patch("/vm", { state: "Paused" });
    await api.put("/snapshot/create", {
      snapshot_type: "Full",
      snapshot_path: `/${jailNames.state}`,
      mem_file_path: `/${jailNames.memory}`,
    });
    const files: Record<string, string> = {};
    for (const name of ["state", "memory", "config"] as const) {
      const path = join(directory, name);
      await rename(join(root, jailNames[name]), path);
      // Its machines read it, and nobody changes it.
      await chmod(path, 0o444);
      files[name] = path;
    }
    return { directory, files: { ...files, image: settings.image } };
  } catch (error) {
    await removeTree(directory);
    throw error;
  } finally {
    await machine?.destroy();
  }
}

/** Waits until the agent has answered. */
async function openToAgent(host: FirecrackerHost, machine: MicroVm): Promise<Disposable> {
  const { directory } = machine;
  const token = String(machine.record().facts["token"]);
  const signal = AbortSignal.timeout(host.settings.attachTimeoutMs);
  const channels = await host.openChannels(machine.id, { directory, token, epoch: templateEpoch, signal });
  return {
    [Symbol.dispose]: () => {
      channels.frames.destroy();
      channels.calls.destroy();
    },
  };
}

/** Makes a machine from a template, and one of its own: with another token, other randomness and the right time. */
async function restore(host: FirecrackerHost, spec: MachineSpec, files: Furniture): Promise<MicroVm> {
  return await inNewJail(host, spec, async (idRange) => {
    const token = newToken();
    const { identity, console, api } = await jail(host, spec, host.ranges.hostIdFirst(idRange), files);
    await api.put("/snapshot/load", {
      snapshot_path: `/${jailNames.state}`,
      mem_backend: { backend_type: "File", backend_path: `/${jailNames.memory}` },
      resume_vm: true,
    });
    try {
      tellInit(spec.directory, `resume ${token} ${escaped(ownSeed())}`);
    } catch (cause) {
      throw bootFailure(spec.id, "its init can't be told that it is a copy", { cause });
    }
    return new MicroVm(host, spec, { identity, token, idRange }, console);
  });
}

/** What the program `reseed` of the guest reads. */
function ownSeed(): Buffer {
  const now = BigInt(Date.now());
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(now / msPerSecond, 0);
  time.writeBigInt64LE((now % msPerSecond) * nanosecondsPerMs, 8);
  return Buffer.concat([randomBytes(seedBytes), time]);
}

/** As a shell's `printf` reads it back. */
function escaped(bytes: Buffer): string {
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
