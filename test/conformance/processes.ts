/** §1.11 A node as a process: start, pid files, end; and its events of §1.8. It is started here by the command line. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connectNex } from "@nexengine/client";
import { nodeLogSubject, pingNodeSubject } from "@nexengine/protocol/subjects";
import { until } from "@nexengine/testing";
import { type Ended, NexHome, type RunningNex } from "../support/nex.ts";
import { info, runFunction } from "./requests.ts";
import type { Row } from "./suite.ts";
import type { Target } from "./target.ts";

const own = { own: true } as const;

interface Message {
  subject: string;
  text: string;
}

/** A node that the command line has started, and what it has published. */
class CommandLineNode implements AsyncDisposable {
  readonly #home = new NexHome();
  readonly #url: string;
  readonly #pidPath = join(this.#home.path, "node.pid");
  readonly #stateDirectory = join(this.#home.path, "state");
  readonly #messages: Message[] = [];
  readonly running: RunningNex;

  private constructor(target: Target) {
    this.#url = target.own?.server.url ?? "";
    for (const subject of ["$NEX.events.>", "$NEX.logs.system.>"]) {
      target.connection.subscribe(subject, {
        callback: (_, message) => {
          this.#messages.push({ subject: message.subject, text: message.string() });
        },
      });
    }
    this.running = this.#home.start(this.#arguments());
  }

  /** Starts it and waits until it takes deploys. */
  static async start(target: Target): Promise<CommandLineNode> {
    const node = new CommandLineNode(target);
    await node.running.shows(/node runs/);
    assert.match(node.id, /^N/, node.running.stderr);
    return node;
  }

  #arguments(): string[] {
    const config = this.#home.write("node.json", {
      pid_filepath: this.#pidPath,
      kernel_filepath: "none",
      cni: { interface_name: "veth0" },
      no_such_key: true,
      machine_template: { vcpu_count: 1, memsize_mib: 256 },
      no_sandbox: true,
      host_services: { nats_url: "", services: { kv: { enabled: true } } },
      workload_types: ["native", "v8"],
    });
    const loggers = ["--logger", "std", "--logger", "nats"];
    const state = ["--state-directory", this.#stateDirectory];
    return ["node", "up", "--config", config, "--nexus", "by-hand", "-s", this.#url, ...loggers, ...state];
  }

  get id(): string {
    return /node=(N\w+)/.exec(this.running.stderr)?.[1] ?? "";
  }

  /** The number in the file that the configuration names, and in that of the state directory. */
  pids(): (string | undefined)[] {
    return [this.#pidPath, join(this.#stateDirectory, "nex.pid")].map((path) =>
      existsSync(path) ? readFileSync(path, "utf8") : undefined,
    );
  }

  /** Tries to start another node, with the same pid file. */
  second(): Promise<Ended> {
    return this.#home.run(this.#arguments());
  }

  /** The next message of the node on a subject. */
  async message(subject: string): Promise<string> {
    const find = (): Message | undefined =>
      this.#messages.find((one) => one.subject === subject && one.text.includes(this.id));
    await until(() => find() !== undefined);
    return find()?.text ?? "";
  }

  async event(type: string, namespace = "system"): Promise<Record<string, unknown>> {
    const event = JSON.parse(await this.message(`$NEX.events.${namespace}.${type}`));
    assert.equal(event.specversion, "1.0");
    return event;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running[Symbol.asyncDispose]();
    this.#home[Symbol.dispose]();
  }
}

export function processRows(row: Row): void {
  let started: Promise<CommandLineNode> | undefined;
  const node = (target: Target): Promise<CommandLineNode> => {
    started ??= CommandLineNode.start(target).then((one) => target.use(one));
    return started;
  };

  row(
    "1.11",
    "a node starts with a configuration whose unknown keys, and keys without a use here, are passed over",
    async (target) => {
      const { running } = await node(target);
      for (const key of ["no_such_key", "kernel_filepath", "cni"])
        assert.ok(running.stderr.includes(key), key);
    },
    own,
  );
  row(
    "1.8",
    "node_started is of the node, with version, id and tags",
    async (target) => {
      const { id } = await node(target);
      const { source, data, namespace } = await (await node(target)).event("node_started");
      const { tags, version, ...rest } = data as Record<string, unknown>;
      assert.deepEqual([source, namespace, rest], [id, undefined, { id }]);
      assert.deepEqual([typeof tags, typeof version], ["object", "string"]);
    },
    own,
  );
  row(
    "1.0",
    "a node with --logger nats writes its own log as text to $NEX.logs.system.{node}.stdout",
    async (target) => {
      const one = await node(target);
      const text = await one.message(nodeLogSubject(one.id, "stdout"));
      assert.match(text, /^\[INF\] /);
    },
    own,
  );
  row(
    "1.0",
    "every node answers PING: its subscription is in no queue group",
    async (target) => {
      const one = await node(target);
      const ids = (await target.client.nodes()).map(({ node_id }) => node_id);
      assert.ok(ids.includes(one.id) && ids.includes(target.nodeId));
    },
    own,
  );
  row(
    "1.11",
    "the pid stands in the file that pid_filepath names, and in nex.pid of the state directory",
    async (target) => {
      const one = await node(target);
      assert.deepEqual(one.pids(), Array(2).fill(`${one.running.child.pid}\n`));
    },
    own,
  );
  row(
    "1.11",
    "a second node with the same pid file is refused by the pid of the first",
    async (target) => {
      const one = await node(target);
      const { status, stderr } = await one.second();
      assert.equal(status, 5);
      assert.ok(stderr.includes(`node process already running; pid: ${one.running.child.pid}`), stderr);
    },
    own,
  );
  row(
    "1.11",
    "on SIGTERM a node undeploys all, says workload_undeployed and node_stopped (graceful), removes its pid files and ends (B24)",
    async (target) => {
      const one = await node(target);
      const there = { ...target, nodeId: one.id, namespace: "by-hand" };
      const workload = await runFunction({ ...there, xkey: (await info(there)).public_xkey }, "(s, p) => 1");
      one.running.child.kill("SIGTERM");
      const undeployed = await one.event("workload_undeployed", "by-hand");
      assert.equal(undeployed["source"], `${one.id}-${workload.id}`);
      const stopped = await one.event("node_stopped");
      assert.deepEqual(stopped["data"], { id: one.id, graceful: true });
      assert.equal((await one.running.ended()).status, 0);
      assert.deepEqual(one.pids(), [undefined, undefined]);
      await using client = await connectNex({ servers: [target.own?.server.url ?? ""] });
      await assert.rejects(
        client.connection.request(pingNodeSubject(one.id), "", { timeout: 5_000 }),
        /no responders|503/i,
      );
    },
    own,
  );
}
