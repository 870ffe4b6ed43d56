/** Facts that a node reports about itself. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, hostname, loadavg, totalmem } from "node:os";
import { formatRunTime, formatUptime } from "@nexengine/protocol/formats";
import {
  type InfoRequest,
  type InfoResponse,
  type MachineExtras,
  type NodeExtras,
  nodeFeatures,
  type PingResponse,
  type Sandbox,
  type Tags,
  type TailLine,
  type WorkloadPingResponse,
} from "@nexengine/protocol/messages";
import type { Identity } from "../state/identity.ts";
import type { RecentLine } from "../telemetry/recent-lines.ts";
import type { Workload } from "../workloads/workload.ts";
import type { WorkloadStatus } from "../workloads/workload-status.ts";
import type { Workloads } from "../workloads/workloads.ts";
import { Page } from "./page.ts";
import { describeTriggers } from "./trigger-action.ts";
import { WaitingWorkload, type WaitingWorkloads } from "./waiting-workloads.ts";

/** Maximum length of texts of workloads in answers. */
const textCharactersMax = 1_024;
/** Number of the last log lines that are shown of a workload in a crash loop. */
const crashLinesMax = 5;

const goArch: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** After the prefix, and a letter that has two bits of the key only. */
const idLettersFrom = 2;
const idLetters = 4;
const adjectives = [
  "amber",
  "brisk",
  "calm",
  "dusty",
  "eager",
  "fair",
  "gentle",
  "hazel",
  "ivory",
  "jolly",
  "keen",
  "lucid",
];
const nouns = [
  "badger",
  "cedar",
  "delta",
  "ember",
  "falcon",
  "grove",
  "harbor",
  "island",
  "juniper",
  "kestrel",
  "lagoon",
  "maple",
];

/**
 * Name of a node without a configured one: two words, and letters of its id. It depends on the id alone, which the state
 * directory keeps, so the name stays the same, and names hardly repeat among hundreds of nodes.
 */
export function nodeNameOf(nodeId: string): string {
  const [first = 0, second = 0] = createHash("sha256").update(nodeId).digest();
  const words = [adjectives[first % adjectives.length], nouns[second % nouns.length]];
  return [...words, nodeId.slice(idLettersFrom, idLettersFrom + idLetters).toLowerCase()].join("-");
}

/** Facts that do not change while a node runs. */
export interface NodeFacts {
  identity: Identity;
  nexus: string;
  endorsement: string | undefined;
  version: string;
  sandbox: Sandbox;
  workloadTypes: readonly string[];
  configuredTags: Tags;
  /** Whether namespaces that differ in case are two, as in NATS permissions. Otherwise they are one, as in Go Nex. */
  exactNamespaces: boolean;
  /** Maximum size of the lists in an answer. */
  answerListBytesMax: number;
  /** Number of ready machines. */
  readyMachines(): number;
  /** Maximum sizes of an artifact in a namespace. */
  artifactLimits(namespace: string): Pick<NodeExtras, "artifact_bytes_max" | "disk_bytes_default">;
}

/** The latest log lines of a workload, the latest last. */
type RecentLinesOf = (workloadId: string, count: number) => RecentLine[];

/** Workloads that INFO lists. */
interface ShownWorkloads {
  workloads: Workloads;
  waiting: WaitingWorkloads;
}

export class NodeInfo {
  readonly #facts: NodeFacts;
  readonly #tags: Tags;
  readonly #startedAtMs = Date.now();
  lameDuck = false;

  constructor(facts: NodeFacts) {
    this.#facts = facts;
    this.#tags = {
      node_name: nodeNameOf(facts.identity.id),
      ...facts.configuredTags,
      "nex.os": process.platform,
      "nex.arch": goArch[process.arch] ?? process.arch,
      "nex.cpucount": String(cpus().length),
      "nex.sandbox": facts.sandbox,
      "nex.host": hostname(),
      ...(facts.sandbox === "process" ? { "nex.unsafe": "true" } : {}),
    };
  }

  get nodeId(): string {
    return this.#facts.identity.id;
  }

  get version(): string {
    return this.#facts.version;
  }

  get tags(): Tags {
    return this.lameDuck ? { ...this.#tags, "nex.lameduck": "true" } : this.#tags;
  }

  get sandboxed(): boolean {
    return this.#facts.sandbox !== "process";
  }

  get sandbox(): Sandbox {
    return this.#facts.sandbox;
  }

  get workloadTypes(): readonly string[] {
    return this.#facts.workloadTypes;
  }

  get uptime(): string {
    return formatUptime(Date.now() - this.#startedAtMs);
  }

  #extras(): NodeExtras {
    const { endorsement } = this.#facts;
    return {
      version: 1,
      sandbox: this.#facts.sandbox,
      xkey_proof: this.#facts.identity.xkeyProof,
      ...(endorsement === undefined ? {} : { endorsement }),
      features: [...nodeFeatures],
      load: hostLoad(),
      state: this.lameDuck ? "lameduck" : "running",
      ready_machines: this.#facts.readyMachines(),
    };
  }

  ping(workloads: Workloads): PingResponse {
    return {
      node_id: this.nodeId,
      nexus: this.#facts.nexus,
      version: this.version,
      uptime: this.uptime,
      target_xkey: this.#facts.identity.xkey.publicKey,
      tags: this.tags,
      running_machines: workloads.deployed.length,
      nex: this.#extras(),
    };
  }

  /** A bid: like a ping, but only fitting machines count as ready. */
  bid(workloads: Workloads, readyFits: boolean): PingResponse {
    const ping = this.ping(workloads);
    return readyFits ? ping : { ...ping, nex: { ...this.#extras(), ready_machines: 0 } };
  }

  /** Lists as many of the workloads as fit into one answer. */
  workloadPing(matching: readonly Workload[]): WorkloadPingResponse {
    return {
      node_id: this.nodeId,
      target_xkey: this.#facts.identity.xkey.publicKey,
      version: this.version,
      tags: this.tags,
      uptime: this.uptime,
      running_machines: new Page(this.#facts.answerListBytesMax).fillWith(
        matching,
        ({ id, namespace, name, spec }) => ({
          id,
          namespace,
          name,
          type: spec.type,
        }),
      ),
    };
  }

  /** Whether two namespaces are the same on this node. */
  isSameNamespace(one: string, other: string): boolean {
    return one === other || (!this.#facts.exactNamespaces && one.toLowerCase() === other.toLowerCase());
  }

  /** @param recent Gives the latest lines of a workload. */
  info(
    namespace: string,
    { nex: asked }: InfoRequest,
    { workloads, waiting }: ShownWorkloads,
    recent: RecentLinesOf,
  ): InfoResponse {
    const memory = readMemory();
    const isIn = (one: string): boolean => this.isSameNamespace(one, namespace);
    const all = workloads.deployed.filter((one) => isIn(one.namespace));
    const page = new Page(this.#facts.answerListBytesMax);
    const others = waiting.all.filter(({ id, namespace: its }) => isIn(its) && !workloads.find(id));
    const listed = [...all, ...others].sort(byId);
    const machines = asked?.node_only === true ? [] : listFrom(listed, asked?.after, page, recent);
    const last = machines.at(-1)?.id;
    const isMore = asked?.node_only !== true && last !== undefined && last !== listed.at(-1)?.id;
    const ended = asked?.ended === true ? page.fill(workloads.endedOnes.list(isIn, Date.now())) : undefined;
    const lines = asked?.tail === undefined ? undefined : page.fillFromEnd(tailOf(all, asked, recent));
    return {
      version: this.version,
      uptime: this.uptime,
      public_xkey: this.#facts.identity.xkey.publicKey,
      tags: this.tags,
      ...(memory === undefined ? {} : { memory }),
      machines,
      supported_workload_types: [...this.workloadTypes],
      nex: {
        ...this.#extras(),
        nexus: this.#facts.nexus,
        ...this.#facts.artifactLimits(namespace),
        ...(isMore ? { next: last } : {}),
        ...(ended === undefined ? {} : { ended }),
        ...(lines === undefined ? {} : { lines }),
      },
    };
  }
}

/** Workloads after the one that ended the last page. Ids grow with time. */
function listFrom(
  all: readonly (Workload | WaitingWorkload)[],
  after: string | undefined,
  page: Page,
  recent: RecentLinesOf,
): InfoResponse["machines"] {
  const rest = after === undefined ? all : all.filter(({ id }) => id > after);
  return page.fillWith(rest, (workload) =>
    workload instanceof WaitingWorkload ? describeWaiting(workload) : describeWorkload(workload, recent),
  );
}

function byId({ id: one }: { id: string }, { id: other }: { id: string }): number {
  return one < other ? -1 : 1;
}

/** A workload of an earlier node that can't run yet. */
function describeWaiting(workload: WaitingWorkload): InfoResponse["machines"][number] {
  const { id, namespace, name, type, reason, nextAtMs, record } = workload;
  return {
    ...{ id, namespace, healthy: false },
    uptime: formatUptime(Date.now() - record.accepted_ms),
    workload: { name, type, runtime: "unknown", hash: record.artifact.sha256 },
    nex: {
      version: 1,
      state: "restarting",
      reason: shortened(`it can't run yet: ${reason}`),
      next_attempt_ms: Math.max(0, nextAtMs - Date.now()),
      ...{ restarts: record.restarts, machines: 0 },
    },
  };
}

function tailOf(
  all: readonly Workload[],
  { tail = 0, workload: idOrName }: NonNullable<InfoRequest["nex"]>,
  recent: RecentLinesOf,
): TailLine[] {
  const lines = all
    .filter(({ id, name }) => idOrName === undefined || id === idOrName || name === idOrName)
    .flatMap(({ id, name }) => recent(id, tail).map((line) => ({ ...line, id, name })));
  return lines.sort((one, other) => one.time_ms - other.time_ms).slice(-tail);
}

function describeWorkload(workload: Workload, recent: RecentLinesOf): InfoResponse["machines"][number] {
  const status = workload.status(Date.now());
  const uptime = formatUptime(Date.now() - workload.startedAtMs);
  const description = shortened(workload.spec.description);
  return {
    id: workload.id,
    healthy: workload.state === "running" && status.healthy !== false,
    uptime,
    namespace: workload.namespace,
    workload: {
      name: workload.name,
      ...(description === "" ? {} : { description }),
      runtime: runTimeOf(workload, uptime),
      type: workload.spec.type,
      hash: workload.sha256,
    },
    nex: {
      version: 1,
      state: workload.state,
      ...describeStatus(status, () => recent(workload.id, crashLinesMax)),
      restarts: workload.restarts,
      machines: workload.readyCount,
      ...(workload.isFunction ? { counters: workload.counters.show() } : {}),
      ...(workload.triggers === undefined ? {} : { triggers: describeTriggers(workload.triggers) }),
      ...(workload.published.length === 0 ? {} : { published: [...workload.published] }),
    },
  };
}

function describeStatus(
  { reason, healthy, crashLoop, nextAttemptMs }: WorkloadStatus,
  lastLines: () => RecentLine[],
): Partial<MachineExtras> {
  return {
    ...(healthy === undefined ? {} : { healthy }),
    ...(reason === undefined ? {} : { reason: shortened(reason) }),
    ...(nextAttemptMs === undefined ? {} : { next_attempt_ms: Math.round(nextAttemptMs) }),
    ...(crashLoop === undefined
      ? {}
      : {
          crash_loop: { restarts: crashLoop.restarts, span_ms: Math.round(crashLoop.spanMs) },
          lines: lastLines().map((line) => ({ ...line, text: shortened(line.text) })),
        }),
  };
}

function shortened(text: string): string {
  return text.length <= textCharactersMax ? text : `${text.slice(0, textCharactersMax)}…`;
}

/** Run time as Go Nex reports it: for a function the time of its calls, and unknown without a machine. */
function runTimeOf(workload: Workload, uptime: string): string {
  if (workload.isFunction) return formatRunTime(workload.runNs);
  return workload.state === "restarting" ? "unknown" : uptime;
}

/** Load of the host: the larger of CPU and memory in use, from 0 to 1, with two digits. */
function hostLoad(): number {
  const processors = (loadavg()[0] ?? 0) / availableParallelism();
  const memory = 1 - freemem() / totalmem();
  return Math.round(Math.min(1, Math.max(processors, memory, 0)) * 100) / 100;
}

/** Total, free and available memory in kB from /proc/meminfo; 0 for missing values. */
export function parseMemory(text: string): NonNullable<InfoResponse["memory"]> {
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:[ \\t]+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { total: kilobytes("MemTotal"), free: kilobytes("MemFree"), available: kilobytes("MemAvailable") };
}

/** Memory of the host; `undefined` without /proc. */
function readMemory(): InfoResponse["memory"] {
  let text: string;
  try {
    text = readFileSync("/proc/meminfo", "utf8");
  } catch {
    return undefined;
  }
  return parseMemory(text);
}
