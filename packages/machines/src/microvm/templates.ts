import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { cleanUpOrphans } from "../host/orphans.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { MicroVm, Monitor } from "./machine.ts";
import { isAbandonedTemplate, newTemplateId } from "./template-id.ts";

/** A template is as large as the memory of its machines. */
const templatesMax = 4;
/** Kinds of which one machine was asked for; the oldest is forgotten. */
const askedMax = 64;

/** How one kind of monitor makes machines. `Template` is what it needs to copy one. */
export interface Copier<Template> {
  /** Lets a machine boot by itself. @throws MachineError `boot_failed` */
  boot(spec: MachineSpec): Promise<MicroVm>;
  /**
   * Boots a machine until its agent is ready, writes down what it is then, and ends it.
   *
   * @param directory Where it writes.
   * @throws MachineError
   */
  makeTemplate(spec: MachineSpec, directory: string): Promise<Template>;
  /** Makes a machine of its own from a template. @throws MachineError `boot_failed` */
  copy(spec: MachineSpec, template: Template): Promise<MicroVm>;
}

function templatesDirectory(stateDirectory: string): string {
  return join(stateDirectory, "templates");
}

/** Ends what processes have left that died while they made a template, and removes their templates. */
async function endAbandonedTemplates(monitor: Monitor, stateDirectory: string): Promise<void> {
  const templates = templatesDirectory(stateDirectory);
  const ids = await readdir(templates).catch(() => [] as string[]);
  for (const id of ids.filter(isAbandonedTemplate)) {
    await monitor.release(id, undefined);
    await cleanUpOrphans(join(templates, id));
  }
}

/**
 * Makes machines by copying one that has booted, which takes a fraction of the time. The second machine of a kind makes
 * the template, since one that is never asked for again needs none.
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
   * Makes a machine in the way that is quickest for its kind.
   *
   * @throws MachineError `boot_failed`; then nothing of it is left.
   */
  async boot(spec: MachineSpec): Promise<MicroVm> {
    this.#prepared ??= endAbandonedTemplates(this.#monitor, this.#stateDirectory);
    await this.#prepared;
    // A machine with egress has a network of its own, which no copy could get afterwards.
    if (spec.network === "egress") return await this.#copier.boot(spec);
    const kind = kindOf(spec);
    const made = await this.#for(kind, spec);
    if (made === undefined) return await this.#copier.boot(spec);
    try {
      return await this.#copier.copy(spec, made.template);
    } catch (error) {
      // It may be damaged. The next machine but one makes another.
      this.#made.delete(kind);
      this.#asked.delete(kind);
      await removeTree(made.directory).catch(() => undefined);
      throw error;
    }
  }

  /** Removes all templates; what is asked for later makes new ones. */
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
    // Where none can be made, each machine boots by itself.
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

/** Machines with the same of these are alike until their agents are spoken to. */
function kindOf({ limits, network, hosts, loopbackAddresses, nodeLostTimeoutMs }: MachineSpec): string {
  return JSON.stringify({ limits, network, hosts, loopbackAddresses, nodeLostTimeoutMs });
}
