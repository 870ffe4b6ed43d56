/** Where to start so that the last messages of some subjects are read, and not many more. */

/** Probes that are made at most; each halves the rest of the stream, or grows it. */
const probesMax = 96;
/** Messages beyond the wanted ones that are rather read than searched away. */
const extraMax = 1_000;

/**
 * Finds a number from which on a stream has at least the wanted messages, or all.
 *
 * @param count Number of messages from a number on; `undefined` when the server did not answer.
 */
export async function tailStart(
  wanted: number,
  { first, last }: { first: number; last: number },
  count: (from: number) => Promise<number | undefined>,
): Promise<number> {
  const enough = wanted * 2 + extraMax;
  // Too many from `low` on, too few from `high` on.
  let low: number | undefined;
  let high = last + 1;
  let span = wanted;
  for (let probe = 0; probe < probesMax; probe++) {
    const from = low === undefined ? Math.max(first, high - span) : Math.floor((low + high) / 2);
    if (from === low) return low;
    const found = await count(from);
    if (found === undefined) return low ?? first;
    if (from === first && found <= enough) return first;
    if (found >= wanted && found <= enough) return from;
    if (found > enough) low = from;
    else {
      high = from;
      span *= 4;
    }
  }
  return low ?? first;
}
