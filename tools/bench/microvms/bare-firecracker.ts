import { execFile } from "node:child_process";
import { link, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { FirecrackerApi } from "../../../packages/machines/src/firecracker/api.ts";
import { startGuest } from "../../../packages/machines/src/firecracker/boot.ts";
import { openVsockChannels } from "../../../packages/machines/src/firecracker/channels.ts";
import { FirecrackerHost } from "../../../packages/machines/src/firecracker/host.ts";
import type { Furniture } from "../../../packages/machines/src/firecracker/jail.ts";
import { jailNames, programName, programPath } from "../../../packages/machines/src/firecracker/layout.ts";
import type { FirecrackerDriverSettings } from "../../../packages/machines/src/firecracker/options.ts";
import { configDisk } from "../../../packages/machines/src/microvm/config-disk.ts";
import { newToken } from "../../../packages/machines/src/microvm/epoch-header.ts";
import type { MachineSpec } from "../../../packages/machines/src/mod.ts";
import { type BareMonitor, tokenIn, untilReadyMs } from "./bare.ts";

const orderTimeoutMs = 60_000;
const toolTimeoutMs = 10_000;
const kvmNumbers = ["10", "232"];

/**
 * Firecracker without the jailer: no user, control group and namespace of its own. It only has another root directory,
 * since a template names its files as they are called in a jail.
 */
export class BareFirecracker implements BareMonitor {
  readonly #host: FirecrackerHost;

  constructor(settings: FirecrackerDriverSettings) {
    this.#host = new FirecrackerHost(settings);
  }

  async bootMs(spec: MachineSpec): Promise<number> {
    const { settings } = this.#host;
    const { boot, image } = settings;
    const disk = configDisk(spec, settings, newToken(), "vsock");
    const start = (api: FirecrackerApi): Promise<void> => startGuest(api, spec, settings);
    return await this.#untilReadyMs(spec, { ...boot, image }, disk, false, start);
  }

  async restoreMs(spec: MachineSpec, templateDirectory: string, reseeds: boolean): Promise<number> {
    const [memory, state] = [join(templateDirectory, "memory"), join(templateDirectory, "state")];
    const disk = await readFile(join(templateDirectory, "config"));
    const files = { image: this.#host.settings.image, memory, state };
    return await this.#untilReadyMs(spec, files, disk, reseeds, (api) =>
      api.put("/snapshot/load", {
        snapshot_path: `/${jailNames.state}`,
        mem_backend: { backend_type: "File", backend_path: `/${jailNames.memory}` },
        resume_vm: true,
      }),
    );
  }

  async #untilReadyMs(
    spec: MachineSpec,
    files: Furniture,
    disk: Buffer,
    reseeds: boolean,
    start: (api: FirecrackerApi) => Promise<void>,
  ): Promise<number> {
    const { directory } = spec;
    await this.#furnish(directory, files, disk);
    const api = new FirecrackerApi(directory, orderTimeoutMs);
    const args = [`/${programName}`, "--api-sock", `/${jailNames.api}`, "--level", "Error"];
    return await untilReadyMs(spec, {
      command: ["chroot", directory, ...args],
      ...{ token: tokenIn(disk), reseeds },
      openChannels: (next) => openVsockChannels(directory, next),
      begin: async (isGone) => {
        if (!(await api.ready(isGone))) throw new Error("a bare Firecracker does not take orders");
        await start(api);
      },
    });
  }

  async #furnish(root: string, files: Furniture, disk: Buffer): Promise<void> {
    const host = this.#host;
    await mkdir(root, { mode: 0o700 });
    await host.prepare();
    await link(programPath(host.settings.stateDirectory), join(root, programName));
    for (const [name, path] of Object.entries(files)) {
      await link(await host.linkable(path), join(root, jailNames[name as keyof typeof jailNames]));
    }
    await writeFile(join(root, jailNames.config), disk);
    await mkdir(join(root, "dev"));
    const run = promisify(execFile);
    await run("mknod", [join(root, "dev/kvm"), "c", ...kvmNumbers], { timeout: toolTimeoutMs });
  }
}
