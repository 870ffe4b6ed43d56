/** Dials the servers of a relay: fixed targets, and not more often than a machine may ask. */
import { connect, type Socket } from "node:net";
import type { RelayTarget } from "./relay-plan.ts";

const dialTimeoutMs = 5_000;
/** A machine may dial so often at once, and so often a second after that. */
const dialsAtOnceMax = 4_096;
const dialsPerSecondMax = 256;

/** @returns what opens a target, for a `Relay`; `undefined` for one that there is not, or that comes too soon. */
export function createDialer(
  targets: readonly RelayTarget[],
  nowMs: () => number = () => performance.now(),
): (target: number) => Socket | undefined {
  let tokens = dialsAtOnceMax;
  let atMs = nowMs();
  return (index) => {
    const target = targets[index];
    const now = nowMs();
    tokens = Math.min(dialsAtOnceMax, tokens + ((now - atMs) * dialsPerSecondMax) / 1_000);
    atMs = now;
    if (target === undefined || tokens < 1) return undefined;
    tokens--;
    return dial(target);
  };
}

function dial({ host, port }: RelayTarget): Socket {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  const late = setTimeout(() => socket.destroy(), dialTimeoutMs);
  socket.once("connect", () => clearTimeout(late));
  socket.once("close", () => clearTimeout(late));
  return socket;
}
