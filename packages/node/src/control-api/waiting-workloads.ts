/** Workloads of an earlier node that can't run yet. They are shown, and can be stopped, like those that run. */
import { type Claims, decodeClaims } from "@nexengine/protocol/tokens";
import type { StopTarget } from "../admission/admit-stop.ts";
import type { DeployRecord } from "../state/deploy-records.ts";
import { requestOf } from "./recorded-request.ts";

/** A workload that waits for its next attempt, or is in one. */
export class WaitingWorkload implements StopTarget {
  readonly record: DeployRecord;
  readonly name: string;
  readonly type: string;
  readonly claims: Claims;
  /** Why the last attempt failed. */
  reason = "";
  /** When the next attempt begins, in ms since 1970. */
  nextAtMs = 0;
  readonly #stopping = new AbortController();
  readonly #attempts: Promise<void>;

  /**
   * @param attempt Tries until the workload runs, is stopped, or its node stops.
   * @throws NexError `malformed_request`, `token_invalid`
   */
  constructor(record: DeployRecord, attempt: (workload: WaitingWorkload) => Promise<void>) {
    const { request } = requestOf(record);
    this.record = record;
    this.claims = decodeClaims(request.workload_jwt ?? "");
    this.name = this.claims.sub;
    this.type = request.type ?? "";
    this.#attempts = attempt(this);
  }

  get id(): string {
    return this.record.id;
  }

  get namespace(): string {
    return this.record.namespace;
  }

  /** Aborts when it is stopped. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Settles when the attempts are over. */
  get attempts(): Promise<void> {
    return this.#attempts;
  }

  /** Stops it. Returns once nothing of it is left. @param reason For its end */
  async stop(reason: string): Promise<void> {
    this.#stopping.abort(reason);
    await this.#attempts;
  }
}

export class WaitingWorkloads {
  readonly #byId = new Map<string, WaitingWorkload>();

  add(workload: WaitingWorkload): void {
    this.#byId.set(workload.id, workload);
  }

  remove({ id }: WaitingWorkload): void {
    this.#byId.delete(id);
  }

  find(id: string): WaitingWorkload | undefined {
    return this.#byId.get(id);
  }

  get all(): WaitingWorkload[] {
    return [...this.#byId.values()];
  }
}
