/** The baselines, each in a process of its own: a bare callback responder on nats.js, and one that speaks the protocol. */
import { connect, type NodeConnectionOptions } from "@nats-io/transport-node";
import { type MessageHandler, WireConnection } from "./wire.ts";

const subjectOf = { bare: "bench.bare", raw: "bench.raw" } as const;

async function bare(options: NodeConnectionOptions): Promise<void> {
  const connection = await connect(options);
  connection.subscribe(subjectOf.bare, { callback: (_, message) => void message.respond(message.data) });
  await connection.flush();
}

class RawResponder implements MessageHandler {
  wire: WireConnection | undefined;

  message(...[chunk, place]: Parameters<MessageHandler["message"]>): void {
    const { wire } = this;
    if (wire === undefined || place.replyEnd === place.replyStart) return;
    const size = place.payloadEnd - place.payloadStart;
    const head = `PUB ${chunk.toString("latin1", place.replyStart, place.replyEnd)} ${size}\r\n`;
    if (head.length + size + 2 > 65_536) {
      wire.write(`${head}${chunk.toString("latin1", place.payloadStart, place.payloadEnd)}\r\n`);
      return;
    }
    const at = wire.room(head.length + size + 2);
    const { out } = wire;
    out.write(head, at, "latin1");
    // With the line end behind it.
    out.set(chunk.subarray(place.payloadStart, place.payloadEnd + 2), at + head.length);
  }

  batchEnd(): void {}
}

async function raw(options: NodeConnectionOptions): Promise<void> {
  const responder = new RawResponder();
  responder.wire = await WireConnection.open(options, responder);
  responder.wire.write(`SUB ${subjectOf.raw} 1\r\n`);
}

process.on("message", async ({ kind, options }: { kind: "bare" | "raw"; options: NodeConnectionOptions }) => {
  await (kind === "bare" ? bare(options) : raw(options));
  process.send?.({ ready: true });
});
process.on("disconnect", () => process.exit());
