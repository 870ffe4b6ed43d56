/** Saves a Firecracker machine as a template and starts copies of it. */
import { chmod, rename } from "node:fs/promises";
import { join } from "node:path";
import type { MachineSpec } from "../driver.ts";
import { becomeOwn, openToAgent } from "../microvm/copies.ts";
import { newToken } from "../microvm/epoch-header.ts";
import { MicroVm } from "../microvm/machine.ts";
import type { Copier } from "../microvm/templates.ts";
import { FirecrackerApi } from "./api.ts";
import { bootFirecracker, inNewJail } from "./boot.ts";
import type { FirecrackerHost } from "./host.ts";
import { type Furniture, jail } from "./jail.ts";
import { jailNames, jailOf } from "./layout.ts";

/** Saved state of a machine whose agent was ready: memory, device state and second disk. */
type Template = Furniture;

/** Creates Firecracker machines. */
export class FirecrackerCopier implements Copier<Template> {
  readonly #host: FirecrackerHost;

  constructor(host: FirecrackerHost) {
    this.#host = host;
  }

  async boot(spec: MachineSpec): Promise<MicroVm> {
    return await bootFirecracker(this.#host, spec);
  }

  async makeTemplate(spec: MachineSpec, directory: string): Promise<Template> {
    const host = this.#host;
    const { settings } = host;
    const { root } = jailOf(settings.stateDirectory, spec.id);
    const machine = await bootFirecracker(host, { ...spec, isTemplate: true });
    try {
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
        // Read-only, because all copies share the file.
        await chmod(path, 0o444);
        files[name] = path;
      }
      return { ...files, image: spec.root?.path ?? settings.image };
    } finally {
      await machine.destroy();
    }
  }

  async copy(spec: MachineSpec, files: Template): Promise<MicroVm> {
    const host = this.#host;
    return await inNewJail(host, spec, async (idRange) => {
      const token = newToken();
      const userId = host.ranges.hostIdFirst(idRange);
      const { identity, console, api } = await jail(host, spec, { userId }, files);
      await api.put("/snapshot/load", {
        snapshot_path: `/${jailNames.state}`,
        mem_backend: { backend_type: "File", backend_path: `/${jailNames.memory}` },
        resume_vm: true,
      });
      await becomeOwn(spec, console, token, host.settings.attachTimeoutMs);
      return new MicroVm(host, spec, { identity, token, idRange }, console);
    });
  }
}
