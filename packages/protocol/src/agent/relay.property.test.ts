import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { FrameConnection } from "./frame-connection.ts";
import { FrameType } from "./frames.ts";
import { Relay, relayWindowBytes } from "./relay.ts";

const turn = (): Promise<void> => new Promise(setImmediate);

/** The other side of a channel, which grants credit when the test says so. */
class Peer {
  readonly #connection: FrameConnection;
  readonly received: Buffer[] = [];
  ended = false;
  receivedBytes = 0;
  grantedBytes = 0;
  id = 0;

  constructor(stream: ConstructorParameters<typeof FrameConnection>[0]) {
    this.#connection = new FrameConnection(stream, {
      frame: (type, _, id, payload) => {
        this.id = id;
        if (type === FrameType.agentRelayEnd) this.ended = true;
        if (type !== FrameType.agentRelayData) return;
        this.received.push(Buffer.from(payload));
        this.receivedBytes += payload.length;
        const inFlight = this.receivedBytes - this.grantedBytes;
        assert.ok(inFlight <= relayWindowBytes, `${inFlight} bytes without credit`);
      },
      end: () => undefined,
    });
  }

  /** Grants credit for received bytes, as far as there are any. */
  grant(bytes: number): void {
    const granted = Math.min(bytes, this.receivedBytes - this.grantedBytes);
    if (granted === 0) return;
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(granted);
    this.grantedBytes += granted;
    this.#connection.send(FrameType.nodeRelayCredit, 0, this.id, payload);
  }
}

const step = fc.oneof(
  fc.record({ write: fc.integer({ min: 1, max: 2 * relayWindowBytes }) }),
  fc.record({ grant: fc.integer({ min: 1, max: relayWindowBytes }) }),
  fc.constant({ turn: true }),
);

test("Relay sends no more than its credit, and in the end everything in order", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const [near, far] = duplexPair();
      const peer = new Peer(far);
      const connection: FrameConnection = new FrameConnection(near, {
        frame: (type, _, id, payload) => void relay.take(type, id, payload),
        end: () => undefined,
        drain: () => relay.drained(),
      });
      const relay = new Relay(connection, {
        side: "agent",
        accept: () => undefined,
        abort: (socket) => void socket.destroy(),
      });
      const [inside, socket] = duplexPair();
      relay.carry(socket, 0);
      const written: Buffer[] = [];
      for (const action of steps) {
        if ("write" in action) {
          written.push(Buffer.alloc(action.write, written.length + 1));
          inside.write(written.at(-1));
        } else if ("grant" in action) peer.grant(action.grant);
        else await turn();
      }
      inside.end();
      for (let turns = 0; !peer.ended; turns++) {
        assert.ok(turns < 10_000, "the end never comes");
        peer.grant(relayWindowBytes);
        await turn();
      }
      assert.ok(Buffer.concat(peer.received).equals(Buffer.concat(written)));
      relay.close();
      near.destroy();
      far.destroy();
      inside.destroy();
    }),
    { numRuns: 40 },
  );
});
