/** A bounded part of an answer: lists take from it until it is full, so that no answer is too large to be sent. */
export class Page {
  #bytesLeft: number;

  /** @param bytesMax Size of all lists together, as JSON. */
  constructor(bytesMax: number) {
    this.#bytesLeft = bytesMax;
  }

  /** As many items as fit, from the first one on. */
  fill<T extends object>(items: readonly T[]): T[] {
    return this.fillWith(items, (item) => item);
  }

  /** As many items as fit, from the last one back, in their order. */
  fillFromEnd<T extends object>(items: readonly T[]): T[] {
    return this.fill(items.toReversed()).reverse();
  }

  /** As many descriptions of items as fit, from the first one on. */
  fillWith<T, D extends object>(items: readonly T[], describe: (item: T) => D): D[] {
    const described: D[] = [];
    for (const item of items) {
      const one = describe(item);
      const bytes = Buffer.byteLength(JSON.stringify(one)) + 1;
      if (bytes > this.#bytesLeft) {
        this.#bytesLeft = 0;
        break;
      }
      this.#bytesLeft -= bytes;
      described.push(one);
    }
    return described;
  }
}
