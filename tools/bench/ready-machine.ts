/** Machines by themselves, without a node: until their agents are ready. */
import { mkdir } from "node:fs/promises";
import type { Channels, Driver, Machine, MachineSpec } from "../../packages/machines/src/mod.ts";
import { AgentClient } from "../../packages/node/src/agent-client/agent-client.ts";
import { Budget } from "../../packages/node/src/budget/budget.ts";

/** Makes a machine, and waits until its agent has said hello. A machine that fails is destroyed. */
export async function readyMachine(
  driver: Driver,
  spec: MachineSpec,
  handshakeTimeoutMs: number,
): Promise<Machine> {
  await mkdir(spec.directory, { mode: 0o700 });
  const machine = await driver.boot(spec);
  try {
    await agentReady(await machine.attach(1), 1, handshakeTimeoutMs);
    return machine;
  } catch (error) {
    await machine.destroy();
    throw error;
  }
}

/** Waits until the agent at the other end has said hello, in this epoch. */
export async function agentReady(
  { frames, calls }: Channels,
  epoch: number,
  timeoutMs: number,
): Promise<void> {
  calls.on("error", () => undefined);
  const { heldBytes, sockets, frames: rate } = new Budget({ bootsMax: 1, unsentBytesMax: 0 }).ofMachine();
  const events = { log: () => {}, exited: () => {}, ended: () => {} };
  const agent = new AgentClient(frames, events, { heldBytes, sockets, frames: rate });
  await agent.handshake(epoch, timeoutMs);
}
