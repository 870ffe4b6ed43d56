/** Functions that tell which messages they get, and what becomes of the messages. */
import { setTimeout as delay } from "node:timers/promises";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import type { Deployment, NexClient, TriggerRequest } from "@nexengine/client";
import type { TestDeployOptions, TestNexus } from "@nexengine/testing";
import { until } from "../../packages/testing/src/observe.ts";

/** One call, as the function saw it. */
export interface Seen {
  copy: string;
  subject: string;
  text: string;
  trigger: Record<string, unknown>;
}

const toldOn = "told";

/**
 * A function that tells of each call, and then does what the payload says: `fail`, `fail:N` up to the delivery N,
 * `never` (fails for good), `later:MS` (fails, and asks for a delay), `slow:MS`, `die` (its machine ends); anything else returns.
 */
const teller = `
  const process = (text, { delivery }) => {
    const [what, number] = text.split(":");
    if (what === "fail" && (number === undefined || delivery <= Number(number))) throw new Error("it fails: " + text);
    if (what === "never") throw Object.assign(new Error("never again"), { retry: false });
    if (what === "later" && delivery === 1) throw Object.assign(new Error("not now"), { retryAfterMs: Number(number) });
    if (what === "slow") return new Promise((resolve) => setTimeout(resolve, Number(number)));
    if (what === "hang") for (;;);
  };
  module.exports = async (subject, payload, call) => {
    const text = new TextDecoder().decode(payload);
    const seen = { copy: COPY, subject, text, trigger: { ...call.trigger } };
    await hostServices.promises.messaging.publish("${toldOn}", JSON.stringify(seen));
    await process(text, call.trigger);
    return "done";
  };`;

/** Source of a teller. @param copy Its name in what it tells */
export function tellerSource(copy: string): string {
  return teller.replace("COPY", JSON.stringify(copy));
}

/** Listens to tellers. */
export class Told {
  readonly all: Seen[] = [];

  constructor(connection: NatsConnection) {
    connection.subscribe(toldOn, {
      callback: (_, message) => {
        this.all.push(message.json<Seen>());
      },
    });
  }

  /** The calls with a text. */
  of(text: string): Seen[] {
    return this.all.filter((seen) => seen.text === text);
  }

  get texts(): string[] {
    return this.all.map(({ text }) => text);
  }

  /** Waits for that many calls. */
  async count(count: number): Promise<Seen[]> {
    await until(() => this.all.length >= count);
    return this.all;
  }
}

/** Deploys a teller. @param copy Its name in what it tells */
export async function deployTeller(
  nexus: TestNexus,
  triggers: TriggerRequest[],
  options: TestDeployOptions & { copy?: string } = {},
): Promise<Deployment> {
  const { copy = "one", ...rest } = options;
  return await nexus.function(tellerSource(copy), {
    name: "teller",
    triggerSubjects: [],
    triggers,
    ...rest,
  });
}

/** JetStream of a client. */
export async function jetStreamOf({ connection }: NexClient): Promise<JetStreamManager> {
  return await jetstreamManager(connection, { checkAPI: false });
}

/** Publishes texts into a stream, and waits until it has them. */
export async function publishAll(
  { connection }: NexClient,
  subject: string,
  texts: readonly string[],
): Promise<void> {
  for (const text of texts) await connection.request(subject, text);
}

/** Waits until a consumer has nothing left: no message in hand, and none to come. */
export async function settled(manager: JetStreamManager, stream: string, consumer: string): Promise<void> {
  for (;;) {
    const { num_pending, num_ack_pending } = await manager.consumers.info(stream, consumer);
    if (num_pending === 0 && num_ack_pending === 0) return;
    await delay(20);
  }
}
