/** Dials the servers of a relay: fixed targets, at a limited rate. */
import { connect, type Socket } from "node:net";
import type { RelayTarget } from "./relay-plan.ts";

const dialTimeoutMs = 5_000;
/** Maximum burst of dials of one machine, and its rate per second. */
const dialsAtOnceMax = 4_096;
const dialsPerSecondMax = 256;

/** @returns a function that dials a target; it gives `undefined` for an unknown target, or when dials come too fast. */
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
