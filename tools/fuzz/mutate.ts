/** Changes inputs a little, repeatably. */

/** Numbers that look random and are the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** A whole number from 0 up to and without `bound`. */
  below(bound: number): number {
    // xorshift32
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return bound <= 0 ? 0 : this.#state % bound;
  }
}

const bytesMax = 131_072;
const wordings = [
  "null",
  "{}",
  "[]",
  "-1",
  "1e999",
  '""',
  "\\u0000",
  "\ud83d",
  "__proto__",
  "constructor",
  "9007199254740993",
  "\0",
  "\xff",
  '"nex":',
  "true",
].map((text) => Buffer.from(text));

/** One of the inputs, changed in one to four places, or joined with another one. */
export function mutate(inputs: readonly Buffer[], random: Random): Buffer {
  let bytes: Buffer = Buffer.from(inputs[random.below(inputs.length)] ?? []);
  for (let change = 0; change <= random.below(4); change++) bytes = changeOnce(bytes, inputs, random);
  return bytes.subarray(0, bytesMax);
}

function changeOnce(bytes: Buffer, inputs: readonly Buffer[], random: Random): Buffer {
  const at = random.below(bytes.length + 1);
  const length = random.below(Math.min(64, bytes.length - at) + 1);
  const rest = bytes.subarray(at + length);
  switch (random.below(7)) {
    case 0: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
      return changed;
    }
    case 1: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = random.below(256);
      return changed;
    }
    case 2:
      return Buffer.concat([bytes.subarray(0, at), rest]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), wordings[random.below(wordings.length)] ?? rest, rest]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
    case 5: {
      const other = inputs[random.below(inputs.length)] ?? bytes;
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    }
    default: {
      const part = bytes.subarray(at, at + length);
      const times = 1 << random.below(10);
      return Buffer.concat([bytes.subarray(0, at), ...Array.from({ length: times }, () => part), rest]);
    }
  }
}
