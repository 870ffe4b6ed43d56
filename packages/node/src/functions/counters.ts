/** Counters of a function's calls. */
import type { CallErrorCode } from "@nexengine/protocol/agent";
import type { Counters } from "@nexengine/protocol/messages";

/** Buckets per power of two, as a number of bits. */
const stepBits = 3;
const bucketsMax = 32 << stepBits;
/** Maximum value. Larger ones count as this. */
const valueMax = 0x7fff_ffff;

/** A histogram whose buckets grow with the value: quantiles are exact to an eighth. */
export class Histogram {
  readonly #counts = new Uint32Array(bucketsMax);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** @param value Not negative, in any unit. */
  add(value: number): void {
    this.#count++;
    const bucket = bucketOf(value);
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
  }

  /** Upper end of the bucket in which the quantile lies; 0 without values. */
  quantile(part: number): number {
    let left = Math.ceil(this.#count * part);
    if (left === 0) return 0;
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return upperEnd(bucket);
    }
    return 0;
  }
}

function bucketOf(value: number): number {
  const whole = value > valueMax ? valueMax : value | 0;
  if (whole < 1 << stepBits) return whole;
  const exponent = 31 - Math.clz32(whole);
  return (
    ((exponent - stepBits + 1) << stepBits) + ((whole >>> (exponent - stepBits)) & ((1 << stepBits) - 1))
  );
}

function upperEnd(bucket: number): number {
  if (bucket < 1 << stepBits) return bucket;
  const shift = (bucket >> stepBits) - 1;
  return (((1 << stepBits) | (bucket & ((1 << stepBits) - 1))) + 1) * 2 ** shift - 1;
}

/** Unit of the histograms. */
const unitNs = 100;

export class CallCounters {
  #calls = 0;
  #runNs = 0;
  #coldStarts = 0;
  readonly #failures = new Map<CallErrorCode, number>();
  readonly #run = new Histogram();
  readonly #queue = new Histogram();

  /** Total run time of the function's code. */
  get runNs(): number {
    return this.#runNs;
  }

  get calls(): number {
    return this.#calls;
  }

  started(): void {
    this.#coldStarts++;
  }

  succeeded(runNs: number, queueNs: number): void {
    this.#calls++;
    this.#runNs += runNs;
    this.#run.add(runNs / unitNs);
    this.#queue.add(queueNs < 0 ? 0 : queueNs / unitNs);
  }

  failed(code: CallErrorCode, runNs: number): void {
    this.#calls++;
    this.#runNs += runNs;
    this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
  }

  /** The counters as INFO has them. */
  show(): Counters {
    const quantiles = (histogram: Histogram): { p50: number; p99: number } => ({
      p50: histogram.quantile(0.5) * unitNs,
      p99: histogram.quantile(0.99) * unitNs,
    });
    return {
      calls: this.#calls,
      failures: Object.fromEntries([...this.#failures].map(([code, count]) => [String(code), count])),
      cold_starts: this.#coldStarts,
      run_ns: quantiles(this.#run),
      queue_ns: quantiles(this.#queue),
    };
  }
}
