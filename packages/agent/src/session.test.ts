import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import {
  agentProtocolVersion,
  type Deploy,
  FrameConnection,
  FrameType,
  messageView,
  sendInvocation,
} from "@nexengine/protocol/agent";
import { inheritedCalls } from "./channels/call-channel.ts";
import type { Provider, ProviderHost, RunningWorkload } from "./provider.ts";
import { type ChannelEnd, Session } from "./session.ts";

/** The node's end of one channel. */
class NodeEnd {
  readonly connection: FrameConnection;
  /** Settles when the agent has done with the channel. */
  readonly served: Promise<ChannelEnd>;
  readonly #arrived: { type: number; id: number; text: string }[] = [];
  #wake = (): void => undefined;

  constructor(session: Session) {
    const [node, agent] = duplexPair({ allowHalfOpen: false });
    for (const end of [node, agent]) end.on("error", () => undefined);
    this.connection = new FrameConnection(node, {
      frame: (type, _, id, payload) => {
        this.#arrived.push({ type, id, text: payload.toString() });
        this.#wake();
      },
      end: () => undefined,
    });
    this.served = session.serve(agent);
  }

  /** The next frame of a type; those before it are dropped. */
  async next(type: number): Promise<{ id: number; text: string }> {
    for (;;) {
      const frame = this.#arrived.shift();
      if (frame?.type === type) return frame;
      if (frame === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async attach(epoch: number): Promise<unknown> {
    this.connection.sendJson(FrameType.attach, { protocol: 1, epoch });
    return JSON.parse((await this.next(FrameType.hello)).text);
  }

  sendDeploy(options: Partial<Deploy>, artifact = "x"): void {
    this.connection.send(FrameType.artifact, 0, 0, Buffer.from(artifact));
    this.connection.sendJson(FrameType.deploy, { type: "v8", artifactBytes: 1, ...options });
  }

  async deploy(options: Partial<Deploy> = {}, artifact?: string): Promise<unknown> {
    this.sendDeploy(options, artifact);
    return JSON.parse((await this.next(FrameType.deployed)).text);
  }
}

/** An agent without a process of its own, whose workload answers every call with its payload. */
class Bench implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nex-session-"));
  readonly stops: number[] = [];
  host: ProviderHost | undefined;
  readonly session: Session;

  constructor() {
    const start: Provider["start"] = async (_, __, host): Promise<RunningWorkload> => {
      this.host = host;
      return {
        concurrency: 3,
        invoke: (id, sequence, { bytes, payloadStart, payloadEnd }) =>
          host.result(id, sequence, bytes.subarray(payloadStart, payloadEnd), new Uint8Array(0)),
        stop: async (graceMs) => {
          this.stops.push(graceMs);
          return { code: 0 };
        },
      };
    };
    this.session = new Session(new Map([["v8", { start }]]), this.directory, inheritedCalls);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

test("Session says hello with the epoch before, on each channel", async () => {
  using bench = new Bench();
  const first = new NodeEnd(bench.session);
  const hello = (await first.attach(4)) as { instance: string };
  assert.deepEqual(hello, {
    protocol: agentProtocolVersion,
    instance: hello.instance,
    lastEpoch: 0,
    providers: ["v8"],
  });
  first.connection.close();
  assert.equal(await first.served, "node_gone");
  const second = new NodeEnd(bench.session);
  assert.deepEqual(await second.attach(5), { ...hello, lastEpoch: 4 });
});

test("Session keeps its workload over channels, and answers on the one that there is", async () => {
  using bench = new Bench();
  const first = new NodeEnd(bench.session);
  await first.attach(1);
  assert.deepEqual(await first.deploy(), { accepted: true, concurrency: 3 });
  first.connection.close();
  await first.served;
  // Without a node what is written is lost, and nobody is held up.
  assert.equal(bench.host?.log(1, "nobody reads this"), true);
  await bench.host?.drained();
  const second = new NodeEnd(bench.session);
  await second.attach(2);
  bench.host?.log(1, "somebody reads this");
  assert.equal((await second.next(FrameType.log)).text, "\u0001somebody reads this");
  sendInvocation(second.connection, 7, messageView("subject", Buffer.from("again")));
  assert.deepEqual(await second.next(FrameType.result), {
    type: FrameType.result,
    id: 7,
    text: "\u0001\0\0\0again",
  });
  assert.deepEqual(bench.stops, []);
});

test("Session runs one workload, ever", async () => {
  using bench = new Bench();
  const first = new NodeEnd(bench.session);
  await first.deploy();
  first.connection.close();
  await first.served;
  const second = new NodeEnd(bench.session);
  assert.deepEqual(await second.deploy(), {
    accepted: false,
    message: "this machine has run a workload already",
  });
});

test("Session ends its workload with the grace that the node gives, and its channels with it", async () => {
  using bench = new Bench();
  const node = new NodeEnd(bench.session);
  await node.deploy();
  node.connection.sendJson(FrameType.undeploy, { graceMs: 250 });
  assert.deepEqual(JSON.parse((await node.next(FrameType.exited)).text), { code: 0 });
  assert.equal(await node.served, "undeployed");
  assert.deepEqual([bench.session.undeployed, bench.stops], [true, [250]]);
});

test("Session ends its workload at once when its node stays away", async () => {
  using bench = new Bench();
  const node = new NodeEnd(bench.session);
  await node.deploy();
  node.connection.close();
  await node.served;
  await bench.session.abandon();
  assert.deepEqual([bench.session.undeployed, bench.stops], [false, [0]]);
});

for (const [what, options, artifact, message] of [
  ["of a type that it does not run", { type: "oci" }, "x", /^this agent has no provider for oci$/],
  ["whose artifact is too short", { artifactBytes: 2 }, "x", /^the artifact did not arrive whole$/],
  ["whose artifact is too long", {}, "xx", /^the artifact did not arrive whole$/],
] as const) {
  test(`Session refuses a deploy ${what}`, async () => {
    using bench = new Bench();
    const { accepted, message: said } = (await new NodeEnd(bench.session).deploy(options, artifact)) as {
      accepted: boolean;
      message: string;
    };
    assert.equal(accepted, false);
    assert.match(said, message);
  });
}

test("Session says of a deploy why its artifact can't be kept", async () => {
  using bench = new Bench();
  rmSync(bench.directory, { recursive: true });
  const answer = (await new NodeEnd(bench.session).deploy()) as { message: string };
  assert.match(answer.message, /^the artifact can't be kept in the machine: ENOENT/);
});

test("Session warns of a place that can't be listened at, and runs the workload all the same", async () => {
  using bench = new Bench();
  const node = new NodeEnd(bench.session);
  node.sendDeploy({ listen: [{ address: "192.0.2.1", port: 4222, target: 0 }] });
  assert.match((await node.next(FrameType.log)).text, /Nothing can be relayed from 192\.0\.2\.1:4222/);
  assert.deepEqual(JSON.parse((await node.next(FrameType.deployed)).text), {
    accepted: true,
    concurrency: 3,
  });
});
