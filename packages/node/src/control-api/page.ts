/** A page of an answer. Lists take from its size until it is full, so that every answer can be sent. */
export class Page {
  #bytesLeft: number;

  /** @param bytesMax Maximum size of all lists together, as JSON. */
  constructor(bytesMax: number) {
    this.#bytesLeft = bytesMax;
  }

  /** As many items as fit, from the start. */
  fill<T extends object>(items: readonly T[]): T[] {
    return this.fillWith(items, (item) => item);
  }

  /** As many items as fit, from the end, in their order. */
  fillFromEnd<T extends object>(items: readonly T[]): T[] {
    return this.fill(items.toReversed()).reverse();
  }

  /** Descriptions of as many items as fit, from the start. */
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
