/** Figures of microVMs, part of `npm run bench -- machines`: by KVM where it works, else by emulation, which is said. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { configDisk } from "../../packages/machines/src/microvm/config-disk.ts";
import { newToken } from "../../packages/machines/src/microvm/epoch-mark.ts";
import type { Driver, Machine } from "../../packages/machines/src/mod.ts";
import { openQemuChannels } from "../../packages/machines/src/qemu/channels.ts";
import { qemuArguments } from "../../packages/machines/src/qemu/command.ts";
import { completeOptions, type QemuDriverOptions } from "../../packages/machines/src/qemu/options.ts";
import { AgentClient } from "../../packages/node/src/agent-client/agent-client.ts";
import { driverSource, trySandbox } from "../../packages/node/src/drivers.ts";
import { testDriverFiles } from "../../packages/testing/src/node.ts";
import { median, quantile, row, timeMs } from "./support.ts";

const boots = 5;
const copies = 20;
const idle = 8;
const handshakeMs = 180_000;
const pollMs = 5;
const mebibyte = 1_048_576;
const memoryBytes = 268_435_456;

/** Runs the benchmark of both kinds. */
export async function benchMicroVms(): Promise<void> {
  const state = await mkdtemp(join(tmpdir(), "nex-bench-vm-"));
  try {
    for (const kind of ["qemu", "firecracker"] as const) await benchKind(kind, join(state, kind));
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

async function benchKind(kind: "qemu" | "firecracker", state: string): Promise<void> {
  const files = testDriverFiles();
  const byKvm = { ...files, qemu: { ...files.qemu, accelerator: "kvm" as const } };
  const { found } = await trySandbox(kind, byKvm, state);
  if (!found.available) row(`${kind} by KVM`, `not run: ${found.reason}`);
  if (!found.available && kind === "firecracker") return;
  const used = found.available ? byKvm : files;
  const driver = await driverSource({ sandbox: kind, files: used }).choose(state);
  const name = found.available ? kind : `${kind}, emulated`;
  try {
    await benchBoots(name, driver, state);
    if (driver.kind === "qemu") await benchBareBoots(name, driver, state);
    await benchCopies(name, driver, state);
  } finally {
    await driver.close?.();
  }
}

let count = 0;

/** A machine whose agent has said hello. @param processes Those of another number are of another kind, and boot. */
async function ready(driver: Driver, state: string, processes: number): Promise<Machine> {
  const id = `bench${++count}`;
  const directory = join(state, id);
  await mkdir(directory, { mode: 0o700 });
  const limits = { memoryBytes, processes };
  const machine = await driver.boot({
    id,
    directory,
    limits,
    network: "none",
    nodeLostTimeoutMs: handshakeMs,
  });
  const { frames, calls } = await machine.attach(1);
  calls.on("error", () => undefined);
  const agent = new AgentClient(frames, { log: () => {}, exited: () => {}, ended: () => {} });
  await agent.handshake(1, handshakeMs);
  return machine;
}

async function benchBoots(name: string, driver: Driver, state: string): Promise<void> {
  const times: number[] = [];
  for (let boot = 0; boot < boots; boot++) {
    let machine: Machine | undefined;
    // No two are alike, so that none is a copy.
    times.push(await timeMs(async () => (machine = await ready(driver, state, 100 + boot))));
    await machine?.destroy();
  }
  row(`${name}: boot → agent ready (n=${boots})`, `${median(times).toFixed(0)} ms`);
}

/** The same QEMU with the same files and arguments, started by hand, until the same agent answers. */
async function benchBareBoots(name: string, driver: Driver, state: string): Promise<void> {
  const found = await driver.fingerprint();
  const image = found.available ? (found.details["image"] ?? "") : "";
  const files = testDriverFiles().qemu ?? {};
  const options: QemuDriverOptions = {
    image,
    boot: { kernel: files.kernel ?? "", initramfs: files.initramfs ?? "" },
    command: ["/usr/bin/node", "--experimental-vm-modules", "/usr/lib/nex/agent.mjs"],
    stateDirectory: state,
    ...(name.includes("emulated") ? { accelerator: "tcg" as const } : {}),
  };
  const settings = completeOptions(options);
  const [bare, ours]: [number[], number[]] = [[], []];
  for (let boot = 0; boot < boots; boot++) {
    const directory = join(state, `bare${boot}`);
    await mkdir(directory, { mode: 0o700 });
    const token = newToken();
    const spec = {
      id: "bare",
      directory,
      limits: { memoryBytes },
      network: "none",
      nodeLostTimeoutMs: handshakeMs,
    } as const;
    await writeFile(join(directory, "config.img"), configDisk(spec, settings, token, "port"));
    await once(spawn("mkfifo", [join(directory, "control.in"), join(directory, "control.out")]), "exit");
    const startedAt = performance.now();
    const child = spawn(settings.program, qemuArguments(spec, settings), { cwd: directory, stdio: "ignore" });
    const drain = spawn("cat", [join(directory, "control.out")], { stdio: "ignore" });
    while (
      !(await access(join(directory, "frames.sock")).then(
        () => true,
        () => false,
      ))
    )
      await delay(pollMs);
    const signal = AbortSignal.timeout(handshakeMs);
    const { frames } = await openQemuChannels({ directory, token, epoch: 1, signal });
    const agent = new AgentClient(frames, { log: () => {}, exited: () => {}, ended: () => {} });
    await agent.handshake(1, handshakeMs);
    bare.push(performance.now() - startedAt);
    child.kill("SIGKILL");
    drain.kill("SIGKILL");
    await once(child, "exit");
    let machine: Machine | undefined;
    ours.push(await timeMs(async () => (machine = await ready(driver, state, 200 + boot))));
    await machine?.destroy();
  }
  row(
    `${name}: boot → agent ready, against a bare boot of the same files (n=${boots}, interleaved)`,
    `${median(ours).toFixed(0)} against ${median(bare).toFixed(0)} ms, ${(median(ours) / median(bare)).toFixed(2)} times (aim: at most 1.1)`,
  );
}

/** Machines that are alike: the second makes the template, and all further ones are copies. */
async function benchCopies(name: string, driver: Driver, state: string): Promise<void> {
  const alike = 99;
  for (let warm = 0; warm < 2; warm++) await (await ready(driver, state, alike)).destroy();
  const times: number[] = [];
  for (let copy = 0; copy < copies; copy++) {
    let machine: Machine | undefined;
    times.push(await timeMs(async () => (machine = await ready(driver, state, alike))));
    await machine?.destroy();
  }
  row(
    `${name}: copy of a template → agent ready (n=${copies})`,
    `median ${median(times).toFixed(0)} ms, p95 ${quantile(times, 0.95).toFixed(0)}`,
  );
  const machines: Machine[] = [];
  try {
    const tookMs = await timeMs(async () => {
      for (let one = 0; one < idle; one++) machines.push(await ready(driver, state, alike));
    });
    row(
      `${name}: machines per second, one after the other (n=${idle})`,
      ((idle * 1_000) / tookMs).toFixed(1),
    );
    const used = await Promise.all(machines.map((machine) => machine.usage()));
    const each = median(used.map(({ memoryBytes: bytes = Number.NaN }) => bytes)) / mebibyte;
    row(`${name}: memory per idle machine, proportional (n=${idle})`, `${each.toFixed(0)} MiB`);
  } finally {
    for (const machine of machines) await machine.destroy();
  }
}
