/** A hostile workload that was deployed, or refused, as a check of its outcome sees it. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Deployment } from "@nexengine/client";
import { NexError } from "@nexengine/protocol";
import type { TestNexus } from "@nexengine/testing";
import type { Story } from "./watch.ts";

const pollMs = 5;

/** How long things may take in a field. */
export interface Times {
  handshakeMs: number;
  deployMs: number;
  callMs: number;
  /** Until a machine is there for a deploy. */
  machineWaitMs: number;
  /** Until a neighbour answers. */
  answerMsMax: number;
  /** Until anything is told of. */
  toldMsMax: number;
}

export class Attack {
  readonly name: string;
  readonly nexus: TestNexus;
  readonly story: Story;
  readonly times: Times;
  /** Where it was accepted. */
  readonly deployment: Deployment | undefined;
  /** Where it was not. */
  readonly refusal: NexError | undefined;

  constructor(nexus: TestNexus, name: string, story: Story, deployed: Deployment | NexError, times: Times) {
    this.times = times;
    this.nexus = nexus;
    this.name = name;
    this.story = story;
    this.deployment = deployed instanceof NexError ? undefined : deployed;
    this.refusal = deployed instanceof NexError ? deployed : undefined;
  }

  /** @throws AssertionError with what the node said, where it was refused. */
  demandDeployed(): void {
    assert.ok(this.deployment, this.refusal?.message ?? "it was not deployed");
  }

  /** Waits for something to be told of it. */
  async until<T>(what: string, find: (story: Story) => T | undefined): Promise<T> {
    const deadline = performance.now() + this.times.toldMsMax;
    for (;;) {
      const found = find(this.story);
      if (found !== undefined) return found;
      const { lines, ends, restarts } = this.story;
      const told = JSON.stringify({ lines: lines.slice(-5), ends, restarts, refusal: this.refusal?.message });
      assert.ok(performance.now() < deadline, `Nothing is told of ${what}, but ${told.slice(0, 2_000)}`);
      await delay(pollMs);
    }
  }

  line(form: RegExp): Promise<string> {
    return this.until(`a line ${form}`, ({ lines }) => lines.find((line) => form.test(line)));
  }

  /** The workload's own report of its attempt. */
  async verdict(): Promise<string> {
    if (this.refusal !== undefined) return this.refusal.message.replace(/^.*?rejected by agent: /, "");
    return await this.line(/^(held|ESCAPED) /);
  }

  /** Why it has ended. */
  end(): Promise<string> {
    return this.until("its end", ({ ends }) => ends[0]);
  }

  async call(payload: Uint8Array | string = ""): Promise<string> {
    return await this.nexus.call(this.name, payload);
  }

  /** Stops it, as its issuer does. @returns how long that took. */
  async stop(): Promise<number> {
    assert.ok(this.deployment, this.refusal?.message ?? "it was not deployed");
    const startedAt = performance.now();
    await this.nexus.stop(this.deployment);
    return performance.now() - startedAt;
  }

  /** Ends it if it still runs. */
  async finish(): Promise<void> {
    if (this.deployment !== undefined && this.story.ends.length === 0)
      await this.stop().catch(() => undefined);
  }
}
