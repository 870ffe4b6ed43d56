/** The nexus under test: a server, a disturbable way to it, a node that can be killed, and clients. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectNex, type Deployment, type DeployOptions, type NexClient } from "@nexengine/client";
import { createKey, curveKeyOfSeed } from "@nexengine/protocol";
import type { NatsServer } from "@nexengine/provision";
import { newSigner, startTestNatsServer } from "@nexengine/testing";
import { entries, Victim } from "../../support/victim.ts";
import { Leftovers } from "../leftovers.ts";
import { type HostAbilities, mountSmall, runs } from "./host-abilities.ts";
import { functionSource, Messages } from "./messages.ts";
import { NatsProxy } from "./proxy.ts";
import { type Namespace, namespaces, type Plan } from "./schedule.ts";

const publisher = curveKeyOfSeed(createKey("curve").seed);
/** Timeout for an answer while faults happen. */
const answerTimeoutMs = 8_000;

/** Parts of a world. */
interface Parts {
  server: NatsServer;
  proxy: NatsProxy;
  victim: Victim;
  clients: Readonly<Record<Namespace, NexClient>>;
  probePath: string | undefined;
  abilities: HostAbilities;
}

export class World implements AsyncDisposable {
  readonly server: NatsServer;
  readonly proxy: NatsProxy;
  readonly victim: Victim;
  readonly leftovers: Leftovers;
  readonly messages: Messages;
  readonly abilities: HostAbilities;
  readonly issuers = [newSigner(), newSigner()] as const;
  /** Why workloads have ended, by id, as far as events tell. */
  readonly endReasons = new Map<string, string>();
  nodeId = "";
  /** Soft limit of the node's open files. */
  descriptorsMax = 0;
  readonly #clients: Readonly<Record<Namespace, NexClient>>;
  readonly #probePath: string | undefined;
  readonly #owned: AsyncDisposable;

  private constructor(parts: Parts, owned: AsyncDisposable) {
    this.server = parts.server;
    this.proxy = parts.proxy;
    this.victim = parts.victim;
    this.abilities = parts.abilities;
    this.leftovers = new Leftovers(parts.victim);
    this.messages = new Messages(parts.clients.default.connection);
    this.#clients = parts.clients;
    this.#probePath = parts.probePath;
    this.#owned = owned;
    for (const namespace of namespaces) void this.#watchEnds(namespace);
  }

  /** @param probePath The service to deploy; absent where none can be built. */
  static async create(abilities: HostAbilities, probePath: string | undefined): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await startTestNatsServer());
    const proxy = stack.use(await new NatsProxy(server.port).start());
    const clients = {
      default: stack.use(await connectNex({ servers: [server.url] })),
      second: stack.use(await connectNex({ servers: [server.url], namespace: "second" })),
    };
    const victim = new Victim({ server: proxy.url, sandbox: "container", nodeLostTimeoutMs: 600_000 });
    stack.use(victim);
    if (abilities.mounts) {
      mountSmall(victim.directory);
      stack.defer(async () => {
        await victim.end("SIGTERM");
        runs("umount", "--lazy", victim.directory);
      });
    }
    const clock = mkdtempSync(join(tmpdir(), "nex-clock-"));
    stack.defer(() => rmSync(clock, { recursive: true }));
    if (abilities.clockLibrary !== undefined) {
      victim.environment = clockEnvironment(abilities.clockLibrary, join(clock, "offset"));
    }
    const parts = { server, proxy, victim, clients, probePath, abilities };
    const world = new World(parts, stack.move());
    world.setClock("+0");
    return world;
  }

  /** Whether services can be deployed. */
  get hasServices(): boolean {
    return this.#probePath !== undefined;
  }

  /** Starts the node, and learns its id and its limit of descriptors. */
  async startNode(): Promise<void> {
    await this.victim.start();
    const [node] = await this.#clients.default.nodes();
    this.nodeId = node?.node_id ?? "";
    const limits = readFileSync(`/proc/${this.victim.pid}/limits`, "utf8");
    this.descriptorsMax = Number(/Max open files\s+(\d+)/.exec(limits)?.[1]);
  }

  client(namespace: Namespace): NexClient {
    return this.#clients[namespace];
  }

  /** @param offset Seconds with their sign, added to the node's clock. */
  setClock(offset: string): void {
    const path = this.victim.environment["FAKETIME_TIMESTAMP_FILE"];
    if (path !== undefined) writeFileSync(path, offset);
  }

  async deploy(plan: Plan, mark: string, replacedId: string | undefined): Promise<Deployment> {
    const { name, kind, replicas, essential, issuer, namespace } = plan;
    const ofKind: Pick<DeployOptions, "type" | "artifact" | "argv" | "triggerSubjects"> =
      kind === "service"
        ? { type: "native", artifact: { path: this.#probePath ?? "" }, argv: [mark, "wait"] }
        : { type: "v8", artifact: { bytes: Buffer.from(functionSource) }, triggerSubjects: [name] };
    return await this.client(namespace).deploy({
      ...{ name, replicas, publisher, ...ofKind },
      ...(kind === "service" ? { essential } : {}),
      node: this.nodeId,
      issuer: this.issuers[issuer],
      timeoutMs: answerTimeoutMs,
      ...(replacedId === undefined ? {} : { replaces: [{ id: replacedId, nodeId: this.nodeId }] }),
    });
  }

  async stop(plan: Plan, workloadId: string, issuer: 0 | 1): Promise<void> {
    await this.client(plan.namespace).stop({
      ...{ nodeId: this.nodeId, workloadId, name: plan.name },
      issuer: this.issuers[issuer],
      timeoutMs: answerTimeoutMs,
    });
  }

  /** Process ids in the control group of each machine, with the machine's workload. */
  machines(): { workloadId: string; pids: number[] }[] {
    const records = join(this.victim.directory, "records");
    return entries(records).flatMap((name) => {
      try {
        const { id, workload_id } = JSON.parse(readFileSync(join(records, name), "utf8"));
        return workload_id === undefined
          ? []
          : [{ workloadId: String(workload_id), pids: pidsOf(String(id)) }];
      } catch {
        return [];
      }
    });
  }

  async #watchEnds(namespace: Namespace): Promise<void> {
    for await (const { type, event } of this.client(namespace).events()) {
      if (type !== "workload_undeployed" && type !== "deploy_refused") continue;
      const { vmid, reason } = event.data ?? {};
      if (vmid !== undefined) this.endReasons.set(String(vmid), String(reason));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

/** A word that shows a service in the list of processes. */
export function newMark(): string {
  return `model-${randomBytes(6).toString("hex")}`;
}

function clockEnvironment(library: string, path: string): Record<string, string> {
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: path,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
}

function pidsOf(machineId: string): number[] {
  const found = entries("/proc").filter((name) => /^\d+$/.test(name));
  return found.filter((pid) => cgroupOf(pid).includes(`/${machineId}\n`)).map(Number);
}

function cgroupOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    return "";
  }
}
