/** An agent in a mock machine, for tests of what boots machines. */

import { agentProtocolVersion, FrameConnection, FrameType, type Hello } from "@nexengine/protocol/agent";
import type { MockGuest } from "@nexengine/testing/internal";

const hello: Hello = { protocol: agentProtocolVersion, instance: "mock", lastEpoch: 0, providers: ["v8"] };

/** Answers the node's first word as an agent does, with more bytes in the same breath. */
export function greet(guest: MockGuest, more = Buffer.alloc(0)): void {
  const connection = new FrameConnection(guest.frames, {
    frame: (type) => {
      if (type !== FrameType.attach) return;
      guest.frames.cork();
      connection.sendJson(FrameType.hello, hello);
      connection.flush();
      guest.frames.write(more);
      guest.frames.uncork();
    },
    end: () => undefined,
  });
}
