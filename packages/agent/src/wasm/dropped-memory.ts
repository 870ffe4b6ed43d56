/** The memory of instances that are gone. The engine does not hurry to give it back, and a machine has little. */
import { runInNewContext } from "node:vm";

export class DroppedMemory {
  readonly #bytesMax: number;
  #bytes = 0;
  #collect: (() => void) | undefined;

  /** @param bytesMax After so much the engine has to look for it. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#bytesMax) return;
    this.#bytes = 0;
    this.#collect ??= garbageCollector();
    this.#collect();
  }
}

function garbageCollector(): () => void {
  // Loaded when it is needed: the agents of other functions would hold its memory.
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  setFlagsFromString("--no-expose-gc");
  return () => collect();
}
