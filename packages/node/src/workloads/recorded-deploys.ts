/** The records of running workloads: when they are written, changed and removed. */
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { Logger } from "pino";
import type { DeployRecord, DeployRecords } from "../state/deploy-records.ts";
import type { DurableDeploys, RecordName } from "../state/durable-deploys.ts";
import type { Workload } from "./workload.ts";

export class RecordedDeploys {
  readonly #records: DeployRecords | undefined;
  readonly #durable: DurableDeploys | undefined;
  readonly #log: Logger;
  /** Unfinished changes of each record, so that they keep their order. */
  readonly #changes = new Map<string, Promise<void>>();
  #isKept = false;

  /**
   * @param records Nothing is recorded when absent.
   * @param durable Copies that survive the disk.
   */
  constructor(records: DeployRecords | undefined, log: Logger, durable?: DurableDeploys) {
    this.#records = records;
    this.#durable = durable;
    this.#log = log;
  }

  /** Whether workloads outlive this node. */
  get isOn(): boolean {
    return this.#records !== undefined;
  }

  /** Records a workload that runs. Returns once the disk has it. @throws NexError `state_unusable` */
  async accepted(workload: Workload): Promise<void> {
    if (this.#records === undefined) return;
    const { id, namespace, spec, sha256, artifactBytes, published, restarts, startedAtMs } = workload;
    const record: DeployRecord = {
      version: 1,
      id,
      namespace,
      request: Buffer.from(spec.request).toString("base64"),
      accepted_ms: startedAtMs,
      artifact: { sha256, bytes: artifactBytes },
      published: published.map(({ machine_port, host, host_port }) => ({ machine_port, host, host_port })),
      restarts,
      ...(spec.autostart === undefined ? {} : { autostart: spec.autostart }),
    };
    try {
      // In order with an end that comes meanwhile, which removes the record again.
      await this.#inOrder(id, (records) => records.update(record));
      await this.#durable?.put(record);
    } catch (cause) {
      if (cause instanceof NexError) throw cause;
      throw new NexError("state_unusable", `Cannot record the deploy: ${errorText(cause)}`, { cause });
    }
  }

  /** Removes the record of a workload that is about to end, unless the next node is to run it. */
  async ended({ id, namespace }: RecordName): Promise<void> {
    if (this.#isKept) return;
    await this.#tryInOrder(id, (records) => records.remove(id));
    this.#durable?.remove({ id, namespace });
  }

  /** Notes a restart. */
  restarted(workload: Workload): void {
    void this.#tryInOrder(workload.id, (records) =>
      records.change(workload.id, { restarts: workload.restarts }),
    );
  }

  /** Notes which triggers are paused. Returns once the disk has it. @throws NexError `state_unusable` */
  async paused({ id, triggers }: Workload): Promise<void> {
    const paused = triggers?.paused ?? [];
    try {
      await this.#inOrder(id, (records) => records.change(id, { paused }));
    } catch (cause) {
      throw new NexError("state_unusable", `Cannot record the pause: ${errorText(cause)}`, { cause });
    }
  }

  /** Whether workloads that end now are those of the next node. */
  get isKept(): boolean {
    return this.#isKept;
  }

  /** From now on, workloads that end are those of the next node. */
  keep(): void {
    this.#isKept = true;
  }

  /** Changes a record; a failure is logged. */
  async #tryInOrder(id: string, work: (records: DeployRecords) => Promise<void>): Promise<void> {
    try {
      await this.#inOrder(id, work);
    } catch (error) {
      this.#log.error({ workload: id, reason: errorText(error) }, "the record of a deploy can't be changed");
    }
  }

  /** Changes a record after all earlier changes of it. */
  #inOrder(id: string, work: (records: DeployRecords) => Promise<void>): Promise<void> {
    const records = this.#records;
    if (records === undefined) return Promise.resolve();
    const before = this.#changes.get(id) ?? Promise.resolve();
    const change = before.then(() => work(records));
    const settled = change
      .catch(() => undefined)
      .finally(() => {
        if (this.#changes.get(id) === settled) this.#changes.delete(id);
      });
    this.#changes.set(id, settled);
    return change;
  }
}
