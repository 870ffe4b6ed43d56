/**
 * Jobs: a service that a schedule starts, each time on a machine of its own, and that runs to its end. Its exit status
 * settles the tick: with 0 it is done, with another one it comes again.
 */
import { CallError, type Exited } from "@nexengine/protocol/agent";
import { toNexError } from "@nexengine/protocol/errors";
import type { Call, CallTaker } from "../functions/function-calls.ts";
import { parseAckSubject } from "../functions/triggers/pulled/ack-subject.ts";
import type { TriggerSpec } from "../functions/triggers/trigger.ts";
import type { Machine, MachineEvents } from "../machines/machine.ts";

const nothing = { bytes: Buffer.alloc(0), headersStart: 0, payloadStart: 0, payloadEnd: 0 };
/** The exit status by which a job says that another attempt can't succeed, as sysexits.h names it. */
const dataError = 65;
const ticksPerMs = 10_000;

/** The end of one job. */
interface JobEnd {
  trigger: string;
  /** Exit status; -1 when it is not known. */
  code: number;
  reason: string;
  runMs: number;
}

/** The parts of a workload that its jobs need. */
export interface JobHost {
  triggers: readonly TriggerSpec[];
  /** Jobs that may run at once. */
  jobsMax: number;
  /** Starts the service on a machine of its own. @throws NexError */
  start(events: MachineEvents, variables: Readonly<Record<string, string>>): Promise<Machine>;
  log: MachineEvents["log"];
  ended(end: JobEnd): void;
}

export class Jobs implements CallTaker {
  readonly #host: JobHost;
  readonly #running = new Map<Call, Promise<void>>();
  /** How the jobs that have a machine are stopped. */
  readonly #stops = new Map<Call, (graceMs: number) => Promise<void>>();
  #roomListeners: (() => void)[] = [];
  #isClosed = false;

  constructor(host: JobHost) {
    this.#host = host;
  }

  /** Number of jobs that run. */
  get size(): number {
    return this.#stops.size;
  }

  get room(): number {
    return this.#isClosed ? 0 : Math.max(0, this.#host.jobsMax - this.#running.size);
  }

  whenRoom(listener: () => void): void {
    this.#roomListeners.push(listener);
    setImmediate(() => this.#tellRoom());
  }

  #tellRoom(): void {
    if (this.room === 0) return;
    const listeners = this.#roomListeners;
    this.#roomListeners = [];
    for (const listener of listeners) listener();
  }

  accept(call: Call): void {
    if (this.#isClosed || this.room === 0) {
      const code = this.#isClosed ? CallError.stopped : CallError.overloaded;
      call.failed({ code, text: "the job can't be started now" });
      return;
    }
    // Otherwise the job would hold the memory of the socket for as long as it runs.
    call.compact();
    const run = this.#run(call).finally(() => {
      this.#running.delete(call);
      this.#tellRoom();
    });
    this.#running.set(call, run);
  }

  async #run(call: Call): Promise<void> {
    const startedAtMs = performance.now();
    const outcome = Promise.withResolvers<Exited | string>();
    const events: MachineEvents = {
      log: this.#host.log,
      exited: (exit) => outcome.resolve(exit),
      lost: (why) => outcome.resolve(why),
    };
    let machine: Machine;
    try {
      machine = await this.#host.start(events, this.#variablesOf(call));
    } catch (thrown) {
      const { code, message } = toNexError(thrown);
      const isFull = code === "no_ready_machine";
      call.failed({ code: isFull ? CallError.overloaded : CallError.threw, text: message });
      return;
    }
    const stop = async (graceMs: number): Promise<void> => {
      await machine.end(graceMs);
      outcome.resolve("it was stopped");
    };
    this.#stops.set(call, stop);
    if (this.#isClosed) void stop(0);
    const ended = await outcome.promise;
    this.#stops.delete(call);
    await machine.end(0);
    this.#settle(call, ended, performance.now() - startedAtMs);
  }

  #settle(call: Call, ended: Exited | string, runMs: number): void {
    const ticks = Math.min(Math.round(runMs * ticksPerMs), 0xffff_ffff);
    const code = typeof ended === "string" ? -1 : (ended.code ?? -1);
    const signal = typeof ended === "string" || ended.signal === undefined ? "" : ` (${ended.signal})`;
    const reason = typeof ended === "string" ? ended : `status: ${code}${signal}`;
    const trigger = this.#host.triggers[call.trigger.index]?.name ?? "";
    this.#host.ended({ trigger, code, reason, runMs: Math.round(runMs) });
    if (code === 0) {
      call.replied({ ...nothing, runTicks: ticks });
      return;
    }
    const noRetry = code === dataError ? ({ retry: false } as const) : {};
    call.failed({ code: CallError.threw, text: `the job ended: ${reason}`, ...noRetry }, ticks);
  }

  /** Facts of the tick, by the names that Wasm functions know too. */
  #variablesOf(call: Call): Record<string, string> {
    const { bytes, deliveryStart, deliveryEnd, payloadStart, payloadEnd } = call;
    const [ack = "", planned] = bytes.toString("latin1", deliveryStart, deliveryEnd).split(" ");
    const spec = this.#host.triggers[call.trigger.index];
    const delivery = parseAckSubject(ack);
    return {
      NEX_TRIGGER_TYPE: "cron",
      NEX_TRIGGER_NAME: spec?.name ?? "",
      NEX_TRIGGER_SCHEDULE: spec?.type === "cron" ? spec.schedule : "",
      // A NUL would end the variable early.
      NEX_TRIGGER_PAYLOAD: bytes.toString("utf8", payloadStart, payloadEnd).replaceAll("\0", ""),
      ...(planned === undefined ? {} : { NEX_TRIGGER_PLANNED_MS: planned }),
      ...(delivery === undefined
        ? {}
        : {
            NEX_TRIGGER_DELIVERY: String(delivery.count),
            NEX_TRIGGER_SEQUENCE: String(delivery.sequence),
          }),
    };
  }

  /** Takes no more jobs, and waits for those that run. */
  async idle(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** Ends all jobs. Their ticks are given back. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#stops.values()].map((stop) => stop(graceMs)));
    await this.idle();
  }
}
