/** A running node hands its work to another one in the same directory, while the work is used. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { connectNex } from "@nexengine/client";
import {
  probeService,
  startTestNatsServer,
  startTestNode,
  unmetSandboxRequirement,
  until,
} from "@nexengine/testing";
import { Callers } from "./support/callers.ts";
import { call, deploy, issuer, workloads } from "./support/counting.ts";
import { entries } from "./support/victim.ts";

const slow =
  "module.exports = async () => { await new Promise((done) => setTimeout(done, 400)); return 'ok'; };";
const unmetContainer = await unmetSandboxRequirement("container");
const probe = await probeService();

type Kind = "process" | "container";

/** A server, a client, and nodes that follow one another in a directory. */
async function bench(sandbox: Kind) {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), "nex-take-over-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const server = stack.use(await startTestNatsServer());
  const client = stack.use(await connectNex({ servers: [server.url] }));
  const options = { server: server.url, sandbox, directory };
  let node = await startTestNode(options);
  stack.defer(() => node.stop());
  const moved = stack.move();
  return {
    server,
    client,
    directory,
    options,
    get node() {
      return node;
    },
    /** The next node takes over. */
    follow: async (): Promise<void> => {
      node = await startTestNode({ ...options, predecessor: node.handOver() });
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

for (const kind of ["container", "process"] as const) {
  const skip = kind === "container" && unmetContainer !== undefined ? { skip: unmetContainer } : {};
  describe(`a node that is taken over (${kind})`, skip, () => {
    test("loses no call of its functions", async (context) => {
      await using made = await bench(kind);
      const { client } = made;
      const names = ["one", "two", "three"];
      const ids = new Map<string, string>();
      for (const name of names) ids.set(name, (await deploy(client, { name })).id);
      await deploy(client, { name: "slow", artifact: { bytes: Buffer.from(slow) } });
      await using callers = new Callers(client, [...names, "slow"], 4);
      for (let round = 0; round < 3; round++) {
        await made.follow();
        await callers.answers(100);
      }
      await callers.stop();
      assert.deepEqual(callers.failures, []);
      const { answered, longestMs } = callers;
      context.diagnostic(
        `3 hand-overs, ${answered} calls answered, the longest in ${Math.round(longestMs)} ms`,
      );
      const found = await workloads(client);
      for (const name of names)
        assert.equal(found.find(({ workload }) => workload.name === name)?.id, ids.get(name));
      // Memory goes on where machines outlive their node: each number was given once.
      if (kind === "container") for (const name of names) callers.assertEachOnce(name);
    });

    test("gives services to its successor under their ids", async (context) => {
      if (probe === undefined) return context.skip("no C compiler builds static executables here");
      await using made = await bench(kind);
      const { client } = made;
      const artifact = { path: probe.path };
      const { id } = await deploy(client, { name: "waits", type: "native", artifact, argv: ["wait"] });
      await made.follow();
      const [found] = await workloads(client);
      assert.equal(found?.id, id);
      assert.equal(found?.workload.name, "waits");
      const [node] = await client.nodes();
      await client.stop({ nodeId: node?.node_id ?? "", workloadId: id, name: "waits", issuer });
      assert.deepEqual(await workloads(client), []);
      assert.deepEqual(entries(join(made.directory, "deploys")), []);
    });

    test("that is asked meanwhile answers once, itself or by its successor", async () => {
      await using made = await bench(kind);
      const { client } = made;
      await deploy(client, { name: "first" });
      let isOver = false;
      const answers: string[] = [];
      const asking = (async () => {
        for (let at = 0; !isOver || at < 3; at++) {
          const { id } = await deploy(client, { name: `n${at}` });
          answers.push(id);
        }
      })();
      await until(() => answers.length > 0);
      // A deploy that is starting stands in the way.
      for (let tries = 0; ; tries++) {
        const refused = await made.follow().catch((error: Error) => error);
        if (refused === undefined) break;
        assert.match(refused.message, /a deploy is starting/);
        assert.ok(tries < 1_000);
      }
      isOver = true;
      await asking;
      const ids = (await workloads(client)).map(({ id }) => id);
      assert.equal(new Set(ids).size, ids.length);
      for (const id of answers) assert.ok(ids.includes(id), `workload ${id} is lost`);
      assert.equal(ids.length, answers.length + 1);
    });
  });
}

describe("a node that is taken over", unmetContainer === undefined ? {} : { skip: unmetContainer }, () => {
  test("keeps the published port of a service", async (context) => {
    if (probe === undefined) return context.skip("no C compiler builds static executables here");
    await using made = await bench("container");
    const { client } = made;
    const { published } = await deploy(client, {
      name: "ports",
      type: "native",
      artifact: { path: probe.path },
      argv: ["wait"],
      limits: { publish: [{ machinePort: 18_080 }] },
    });
    const port = published[0]?.host_port ?? 0;
    assert.ok(port > 0);
    await made.follow();
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
  });

  test("goes on when its successor gives up before it has the directory", async () => {
    await using made = await bench("container");
    const { client } = made;
    await deploy(client, { name: "count" });
    assert.equal(await call(client, "count"), "1");
    for (const steps of [["prepare"], ["prepare", "stopListening"]] as const) {
      const handOver = made.node.handOver();
      for (const step of steps) await handOver[step]();
      assert.equal(await handOver.abort("it was a test"), true);
      await assert.rejects(handOver.unlock(), { code: "wrong_state" });
      assert.equal((await workloads(client)).length, 1);
    }
    await deploy(client, { name: "another" });
    assert.equal(await call(client, "count"), "2");
  });

  test("leaves its machines to the next start when its successor dies with the directory", async () => {
    await using made = await bench("container");
    const { client } = made;
    const { id } = await deploy(client, { name: "count" });
    assert.equal(await call(client, "count"), "1");
    const handOver = made.node.handOver();
    await handOver.prepare();
    await handOver.stopListening();
    await handOver.unlock();
    assert.equal(await handOver.abort("it died"), false);
    const ended = await made.node.ended;
    assert.equal(ended?.code, "hand_over_refused");
    await using next = await startTestNode(made.options);
    assert.equal(await call(client, "count"), "2");
    assert.equal((await workloads(client))[0]?.id, id);
    await next.stop();
  });

  test("is refused to two successors, when it is ephemeral, and while an operator ends it", async () => {
    await using made = await bench("container");
    const handOver = made.node.handOver();
    await handOver.prepare();
    assert.throws(() => made.node.handOver(), { code: "hand_over_refused" });
    await handOver.abort("it was a test");
    await using ephemeral = await startTestNode({
      ...made.options,
      directory: mkdtempSync(join(made.directory, "other-")),
      ephemeral: true,
    });
    for (const _ of ["first", "again"]) {
      await assert.rejects(ephemeral.handOver().prepare(), {
        code: "hand_over_refused",
        message: /since it is ephemeral/,
      });
    }
  });
});
