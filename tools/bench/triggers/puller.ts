/** Pulls and acknowledges a stream: by the library's `fetch`, or by hand on the socket. */
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { triggerConnectionOf } from "../../../packages/node/src/functions/triggers/connection-of.ts";

/** One run. */
export interface PullSpec {
  kind: "fetch" | "hand";
  stream: string;
  consumer: string;
  count: number;
  batch: number;
}

const nothing = { bytes: Buffer.alloc(0), headersStart: 0, payloadStart: 0, payloadEnd: 0 };

async function fetching({ stream, consumer, count, batch }: PullSpec, url: string): Promise<void> {
  await using connection = await open(url);
  const found = await jetstream(connection.nats).consumers.get(stream, consumer);
  for (let left = count; left > 0; ) {
    const messages = await found.fetch({ max_messages: Math.min(batch, left) });
    for await (const message of messages) {
      message.ack();
      left--;
    }
  }
  await connection.nats.flush();
}

async function byHand({ stream, consumer, count, batch }: PullSpec, url: string): Promise<void> {
  await using connection = await open(url);
  const fast = triggerConnectionOf(connection.nats);
  const inbox = fast.newInbox();
  const done = Promise.withResolvers<void>();
  let left = count;
  let isScheduled = false;
  let open_ = 0;
  const pull = (): void => {
    isScheduled = false;
    const more = batch - open_;
    if (more <= 0) return;
    open_ += more;
    fast.request(
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
      inbox,
      `{"batch":${more},"expires":30000000000}`,
    );
  };
  fast.subscribe(inbox, undefined, (message) => {
    open_--;
    fast.publish(message, nothing);
    if (--left === 0) done.resolve();
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(pull);
  });
  pull();
  await done.promise;
  await connection.nats.flush();
}

async function open(url: string): Promise<{ nats: Awaited<ReturnType<typeof connect>> } & AsyncDisposable> {
  const nats = await connect({ servers: [url] });
  return { nats, [Symbol.asyncDispose]: () => nats.close() };
}

process.on("message", async ({ url, spec }: { url: string; spec: PullSpec }) => {
  await (spec.kind === "fetch" ? fetching : byHand)(spec, url);
  process.send?.({ done: true });
});
process.on("disconnect", () => process.exit());
