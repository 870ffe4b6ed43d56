/** An agent in a mock machine, for tests of what boots machines and of what runs in them. */

import {
  agentProtocolVersion,
  type Deployed,
  type Exited,
  FrameConnection,
  FrameType,
  type Hello,
} from "@nexengine/protocol/agent";
import type { MockGuest } from "@nexengine/testing/internal";

const hello: Hello = { protocol: agentProtocolVersion, instance: "mock", lastEpoch: 0, providers: ["v8"] };

/**
 * Answers the node's first word as an agent does, with more bytes in the same breath.
 *
 * @param running The workload that it has run since an earlier node.
 */
export function greet(guest: MockGuest, more = Buffer.alloc(0), running?: Hello["running"]): void {
  const connection = new FrameConnection(guest.frames, {
    frame: (type) => {
      if (type !== FrameType.attach) return;
      guest.frames.cork();
      connection.sendJson(FrameType.hello, running === undefined ? hello : { ...hello, running });
      connection.flush();
      guest.frames.write(more);
      guest.frames.uncork();
    },
    end: () => undefined,
  });
}

/** Behaviour of an agent towards its workload. */
export interface MockWorkload {
  /** Answer to the deploy; it is accepted when absent. No answer comes while the test holds it. */
  deployed?: Deployed | "held";
  /** How the workload exits at once, in the same breath as the answer to its deploy. */
  exits?: Exited;
  /** How the workload exits when it is asked to; with status 0 when absent. */
  stops?: Exited;
}

/** An agent that runs one workload. */
export class MockAgent {
  /** Grace periods that the workload got to stop, in ms. */
  readonly graces: number[] = [];
  readonly guest: MockGuest;
  readonly #connection: FrameConnection;
  readonly #workload: MockWorkload;

  constructor(guest: MockGuest, workload: MockWorkload = {}) {
    this.guest = guest;
    this.#workload = workload;
    this.#connection = new FrameConnection(guest.frames, {
      frame: (type, _flags, _id, payload) => this.#take(type, payload),
      end: () => undefined,
    });
  }

  /** The workload exits by itself. */
  exit(exited: Exited): void {
    this.#connection.sendJson(FrameType.exited, exited);
    this.#connection.flush();
  }

  #take(type: number, payload: Uint8Array): void {
    const { deployed = { accepted: true }, exits, stops = { code: 0 } } = this.#workload;
    if (type === FrameType.attach) this.#connection.sendJson(FrameType.hello, hello);
    if (type === FrameType.deploy && deployed !== "held") {
      this.#connection.sendJson(FrameType.deployed, deployed);
      if (exits !== undefined) this.#connection.sendJson(FrameType.exited, exits);
    }
    if (type === FrameType.undeploy) {
      this.graces.push(JSON.parse(Buffer.from(payload).toString()).graceMs);
      this.#connection.sendJson(FrameType.exited, stops);
    }
    this.#connection.flush();
  }
}
