/**
 * Consumers that the object store client makes for reading. It leaves each one to the server, which keeps it for five
 * minutes: a thousand reads of one bucket reach the limits of a stream.
 */
import type { JetStreamClient, PushConsumer } from "@nats-io/jetstream";

/** The consumers of one client, made from now on. */
export class ObjectConsumers {
  readonly #made: PushConsumer[] = [];

  constructor({ consumers }: JetStreamClient) {
    const make = consumers.getPushConsumer.bind(consumers);
    consumers.getPushConsumer = async (...args: Parameters<typeof make>) => {
      const consumer = await make(...args);
      this.#made.push(consumer);
      return consumer;
    };
  }

  /** Deletes the consumers in the background. One that is gone already, or cannot be deleted, expires by itself. */
  release(): void {
    for (const consumer of this.#made.splice(0)) void consumer.delete().catch(() => undefined);
  }
}
