/** Saves a QEMU machine as a template and prepares copies of it. */
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { copyFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { MachineSpec } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { bootFailure } from "../host/boot-failure.ts";
import { holdsWithin } from "../host/wait.ts";
import { byShortPath } from "../microvm/attachment.ts";
import { becomeOwn, openToAgent, tokenOf } from "../microvm/copies.ts";
import type { MicroVm } from "../microvm/machine.ts";
import type { Copier } from "../microvm/templates.ts";
import { bootQemu } from "./boot.ts";
import type { QemuHost } from "./host.ts";
import { names } from "./names.ts";
import { Qmp } from "./qmp.ts";

/** Saved state of a machine whose agent was ready: memory, device state and second disk. */
interface Template {
  memory: string;
  state: string;
  config: string;
  token: string;
}

/** Copies map the memory file directly, so it is excluded from the saved state. */
const memoryApart = { capabilities: [{ capability: "x-ignore-shared", state: true }] };

/** Creates QEMU machines. */
export class QemuCopier implements Copier<Template> {
  readonly #host: QemuHost;

  constructor(host: QemuHost) {
    this.#host = host;
  }

  async boot(spec: MachineSpec): Promise<MicroVm> {
    return (await bootQemu(this.#host, spec)).machine;
  }

  async makeTemplate(spec: MachineSpec, directory: string): Promise<Template> {
    const host = this.#host;
    const timeoutMs = host.settings.attachTimeoutMs;
    const template = {
      memory: join(directory, "memory"),
      state: join(directory, "state"),
      config: join(directory, names.config),
    };
    const { machine } = await bootQemu(host, spec, { memory: template.memory });
    try {
      using _channels = await openToAgent(host, machine);
      using qmp = await openQmp(spec, timeoutMs);
      await qmp.ask("stop", {}, timeoutMs);
      await qmp.ask("migrate-set-capabilities", memoryApart, timeoutMs);
      await receiveState(spec.directory, template.state, timeoutMs, async (uri) => {
        await qmp.ask("migrate", { uri }, timeoutMs);
        await awaitMigration(qmp, timeoutMs);
      });
      await copyFile(join(spec.directory, names.config), template.config);
      return { ...template, token: tokenOf(machine) };
    } finally {
      await machine.destroy();
    }
  }

  /** All copies keep the token, because a port may not show the agent that its host has changed. */
  async copy(spec: MachineSpec, template: Template): Promise<MicroVm> {
    const timeoutMs = this.#host.settings.attachTimeoutMs;
    const { machine, console } = await bootQemu(this.#host, spec, { ...template, isCopy: true });
    try {
      using qmp = await openQmp(spec, timeoutMs);
      await qmp.ask("migrate-set-capabilities", memoryApart, timeoutMs);
      await qmp.ask("migrate-incoming", { uri: `unix:${names.migration}` }, timeoutMs);
      await byShortPath(spec.directory, async (here) => {
        const socket = connect(`${here}/${names.migration}`);
        // QEMU closes the connection once it has the whole state. The result is queried afterwards.
        const signal = AbortSignal.timeout(timeoutMs);
        await pipeline(createReadStream(template.state), socket, { signal }).catch(() => undefined);
      });
      await awaitMigration(qmp, timeoutMs);
      await qmp.ask("cont", {}, timeoutMs);
      await becomeOwn(spec, console, template.token, timeoutMs);
      return machine;
    } catch (error) {
      await machine.destroy().catch(() => undefined);
      if (error instanceof MachineError) throw error;
      throw bootFailure(spec.id, "it can't be created from a template", { cause: error });
    }
  }
}

async function openQmp({ directory }: MachineSpec, timeoutMs: number): Promise<Qmp> {
  return await byShortPath(directory, (here) => Qmp.open(`${here}/${names.orders}`, timeoutMs));
}

/** Waits until a migration has finished. @throws MachineError `boot_failed` */
async function awaitMigration(qmp: Qmp, timeoutMs: number): Promise<void> {
  let told: { status?: string; "error-desc"?: string } = {};
  const ended = async (): Promise<boolean> => {
    told = (await qmp.ask("query-migrate", {}, timeoutMs)) as typeof told;
    return ["completed", "failed", "cancelled"].includes(told.status ?? "");
  };
  if ((await holdsWithin(ended, timeoutMs, 10)) && told.status === "completed") return;
  throw new MachineError(
    "boot_failed",
    `The state of a machine can't be migrated: ${told["error-desc"] ?? told.status}`,
  );
}

/** Writes the state that QEMU sends during `send` to a file. */
async function receiveState(
  directory: string,
  path: string,
  timeoutMs: number,
  send: (uri: string) => Promise<void>,
): Promise<void> {
  const connections: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => connections.push(socket));
  await byShortPath(directory, async (here) => {
    await once(server.listen(`${here}/${names.migration}`), "listening");
    const written = once(server, "connection").then(([socket]) =>
      pipeline(socket as Socket, createWriteStream(path, { mode: 0o600 }), {
        signal: AbortSignal.timeout(timeoutMs),
      }),
    );
    written.catch(() => undefined);
    try {
      await send(`unix:${names.migration}`);
      await written;
    } finally {
      for (const socket of connections) socket.destroy();
      server.close();
    }
  });
}
