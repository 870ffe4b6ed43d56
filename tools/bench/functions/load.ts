/** A load generator in a process of its own: one connection, one wildcard inbox, a slot for each call at once. */
import { type MessageHandler, WireConnection } from "./wire.ts";

/** The load of one round. */
export interface LoadSpec {
  /** Slots take them in turn. */
  subjects: readonly string[];
  concurrency: number;
  payloadBytes: number;
  warmMs: number;
  durationMs: number;
}

/** The result of a round. */
export interface LoadResult {
  calls: number;
  errors: number;
  seconds: number;
  p50Us: number;
  p99Us: number;
}

const latenciesMax = 4_000_000;
const silenceMsMax = 10_000;

class Load implements MessageHandler {
  readonly #latenciesUs = new Float64Array(latenciesMax);
  #wire: WireConnection | undefined;
  #spec: LoadSpec | undefined;
  #heads: Buffer[] = [];
  #sentAt = new Float64Array(0);
  #calls = 0;
  #errors = 0;
  #measuring = false;
  #stopping = false;
  #open = 0;
  #done = Promise.withResolvers<void>();
  #lastMs = 0;

  async connect(options: Parameters<typeof WireConnection.open>[0]): Promise<void> {
    this.#wire = await WireConnection.open(options, this);
    this.#wire.write("SUB _INBOX.load.* 7\r\n");
  }

  async run(spec: LoadSpec): Promise<LoadResult> {
    const wire = this.#wire as WireConnection;
    this.#spec = spec;
    const payload = "x".repeat(spec.payloadBytes);
    this.#heads = Array.from({ length: spec.concurrency }, (_, slot) => {
      const subject = spec.subjects[slot % spec.subjects.length];
      return Buffer.from(`PUB ${subject} _INBOX.load.${slot} ${payload.length}\r\n${payload}\r\n`);
    });
    this.#sentAt = new Float64Array(spec.concurrency);
    this.#calls = 0;
    this.#errors = 0;
    this.#stopping = false;
    this.#measuring = false;
    this.#open = spec.concurrency;
    this.#done = Promise.withResolvers();
    for (let slot = 0; slot < spec.concurrency; slot++) this.#send(slot);
    wire.flush();
    await new Promise((resolve) => setTimeout(resolve, spec.warmMs));
    this.#calls = 0;
    this.#measuring = true;
    const startedAt = performance.now();
    process.send?.({ measuring: true });
    await new Promise((resolve) => setTimeout(resolve, spec.durationMs));
    const seconds = (performance.now() - startedAt) / 1_000;
    this.#measuring = false;
    const calls = this.#calls;
    process.send?.({ measuring: false });
    this.#stopping = true;
    this.#lastMs = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - this.#lastMs > silenceMsMax)
        this.#done.reject(new Error(`${this.#open} calls on ${spec.subjects[0]} were never answered`));
    }, 500);
    await this.#done.promise;
    clearInterval(watch);
    const sorted = this.#latenciesUs.subarray(0, Math.min(calls, latenciesMax)).sort();
    const quantile = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
    return { calls, errors: this.#errors, seconds, p50Us: quantile(0.5), p99Us: quantile(0.99) };
  }

  #send(slot: number): void {
    const wire = this.#wire as WireConnection;
    const head = this.#heads[slot] as Buffer;
    this.#sentAt[slot] = performance.now();
    if (head.length > 65_536) {
      wire.flush();
      wire.write(head.toString("latin1"));
      return;
    }
    const at = wire.room(head.length);
    wire.out.set(head, at);
  }

  message(...[chunk, place]: Parameters<MessageHandler["message"]>): void {
    const { subjectEnd, payloadStart, payloadEnd, hasHeaders } = place;
    let slot = 0;
    // The digits behind the last dot.
    for (let at = subjectEnd - 1, factor = 1; chunk[at] !== 46; at--, factor *= 10)
      slot += ((chunk[at] as number) - 48) * factor;
    if (hasHeaders || payloadEnd - payloadStart !== this.#spec?.payloadBytes) this.#errors++;
    if (this.#measuring) {
      if (this.#calls < latenciesMax)
        this.#latenciesUs[this.#calls] = (performance.now() - (this.#sentAt[slot] as number)) * 1_000;
      this.#calls++;
    }
    if (this.#stopping) {
      this.#lastMs = performance.now();
      if (--this.#open === 0) this.#done.resolve();
    } else this.#send(slot);
  }

  batchEnd(): void {}
}

const load = new Load();
process.on("message", async (spec: { connect?: object; run?: LoadSpec }) => {
  if (spec.connect !== undefined) {
    await load.connect(spec.connect);
    process.send?.({ ready: true });
  }
  if (spec.run !== undefined) process.send?.({ result: await load.run(spec.run) });
});
process.on("disconnect", () => process.exit());
