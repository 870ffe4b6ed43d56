/** Templates of microVMs: made by the second machine of a kind, then copied. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { cleanUpOrphans } from "../host/orphans.ts";
import { isAlive, readProcess } from "../host/process-table.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { MicroVm, Monitor } from "./machine.ts";

/** Maximum number of templates. Each is as large as the memory of its machines. */
const templatesMax = 4;
/** Maximum number of remembered machine kinds; the oldest is dropped. */
const askedMax = 64;

let templatesCreated = 0;

/** Operations of one monitor that create machines. `Template` is the data needed for a copy. */
export interface Copier<Template> {
  /** Boots a machine without a template. @throws MachineError `boot_failed` */
  boot(spec: MachineSpec): Promise<MicroVm>;
  /**
   * Boots a machine until its agent is ready, saves its state, and terminates it.
   *
   * @param directory Directory of the saved state.
   * @throws MachineError
   */
  makeTemplate(spec: MachineSpec, directory: string): Promise<Template>;
  /** Creates an independent machine from a template. @throws MachineError `boot_failed` */
  copy(spec: MachineSpec, template: Template): Promise<MicroVm>;
}

function templatesDirectory(stateDirectory: string): string {
  return join(stateDirectory, "templates");
}

/** Cleans up after processes that died while they created a template, and removes their templates. */
async function endAbandonedTemplates(monitor: Monitor, stateDirectory: string): Promise<void> {
  const templates = templatesDirectory(stateDirectory);
  const ids = await readdir(templates).catch(() => [] as string[]);
  for (const id of ids.filter(isAbandonedTemplate)) {
    await monitor.release(id, undefined);
    await cleanUpOrphans(join(templates, id));
  }
}

/**
 * Creates machines by copying a booted one, which is much faster. The second machine of a kind creates the template,
 * because many kinds are used only once.
 */
export class Templates<Template> {
  readonly #monitor: Monitor;
  readonly #copier: Copier<Template>;
  readonly #stateDirectory: string;
  readonly #asked = new Set<string>();
  readonly #made = new Map<string, Promise<{ template: Template; directory: string } | undefined>>();

  #prepared: Promise<void> | undefined;

  constructor(monitor: Monitor, copier: Copier<Template>, stateDirectory: string) {
    this.#monitor = monitor;
    this.#copier = copier;
    this.#stateDirectory = stateDirectory;
  }

  /**
   * Creates a machine in the fastest way available for its kind.
   *
   * @throws MachineError `boot_failed`; nothing is left behind.
   */
  async boot(spec: MachineSpec): Promise<MicroVm> {
    this.#prepared ??= endAbandonedTemplates(this.#monitor, this.#stateDirectory);
    await this.#prepared;
    // A copy can't get its own network afterwards, so machines with egress are always booted.
    if (spec.network === "egress") return await this.#copier.boot(spec);
    const kind = kindOf(spec);
    const made = await this.#for(kind, spec);
    if (made === undefined) return await this.#copier.boot(spec);
    try {
      return await this.#copier.copy(spec, made.template);
    } catch (error) {
      // The template may be damaged. A later machine creates a new one.
      this.#made.delete(kind);
      this.#asked.delete(kind);
      await removeTree(made.directory).catch(() => undefined);
      throw error;
    }
  }

  /** Removes all templates. Later boots create new ones. */
  async clear(): Promise<void> {
    this.#asked.clear();
    const all = [...this.#made.values()];
    this.#made.clear();
    for (const made of await Promise.all(all)) if (made) await removeTree(made.directory);
  }

  async #for(
    kind: string,
    spec: MachineSpec,
  ): Promise<{ template: Template; directory: string } | undefined> {
    const known = this.#made.get(kind);
    if (known !== undefined) return await known;
    if (!this.#asked.has(kind)) {
      const [oldest] = this.#asked;
      if (this.#asked.size >= askedMax && oldest !== undefined) this.#asked.delete(oldest);
      this.#asked.add(kind);
      return undefined;
    }
    if (this.#made.size >= templatesMax) return undefined;
    // Without a template, each machine boots by itself.
    const making = this.#make(spec).catch(() => undefined);
    this.#made.set(kind, making);
    return await making;
  }

  async #make(like: MachineSpec): Promise<{ template: Template; directory: string }> {
    const id = newTemplateId();
    const directory = join(templatesDirectory(this.#stateDirectory), id);
    const own = join(directory, "machine");
    await mkdir(own, { recursive: true, mode: 0o700 });
    try {
      return {
        template: await this.#copier.makeTemplate({ ...like, id, directory: own }, directory),
        directory,
      };
    } catch (error) {
      await cleanUpOrphans(directory);
      throw error;
    }
  }
}

/** Machines with equal values of these members are identical until their agents receive a message. */
function kindOf({ limits, network, root, hosts, loopbackAddresses, nodeLostTimeoutMs }: MachineSpec): string {
  return JSON.stringify({ limits, network, root, hosts, loopbackAddresses, nodeLostTimeoutMs });
}

/** Creates the id of a template machine. It identifies the owning process, because the machine has no record. */
function newTemplateId(): string {
  const { pid, startTicks } = readProcess(process.pid) ?? { pid: process.pid, startTicks: 0 };
  return `template${pid}x${startTicks}x${++templatesCreated}`;
}

/** Reports whether the template's owning process has exited. */
function isAbandonedTemplate(id: string): boolean {
  const [, pid, startTicks] = /^template(\d+)x(\d+)x\d+$/.exec(id) ?? [];
  return pid !== undefined && !isAlive({ pid: Number(pid), startTicks: Number(startTicks) });
}
