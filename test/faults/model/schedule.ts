/** Draws what happens to a nexus: requests of its clients, and faults of its node, its server and its host. */
import { pick } from "../../support/random.ts";

export const namespaces = ["default", "second"] as const;
export type Namespace = (typeof namespaces)[number];

/** A workload to deploy. */
export interface Plan {
  name: string;
  kind: "function" | "service";
  namespace: Namespace;
  /** Number of its issuer. */
  issuer: 0 | 1;
  replicas: number;
  essential: boolean;
}

/** A request, or some messages to a function. */
export type Operation =
  | { do: "deploy"; plan: Plan; replaces?: string }
  | { do: "call"; name: string; messages: number }
  | { do: "stop"; name: string }
  | { do: "stop as somebody else"; name: string };

/** Faults that are over when they have happened. */
const blows = ["kill node", "kill agent", "kill machine", "kill server"] as const;
/** Faults that last for a moment. */
const states = [
  ...["pause node", "pause server", "stalled server", "partition", "cut connections"],
  ...["full disk", "no descriptors", "clock jump"],
] as const;
export type Blow = (typeof blows)[number];
export type LastingFault =
  | "pause node"
  | "pause server"
  | "stalled server"
  | "partition"
  | "cut connections"
  | "full disk"
  | "no descriptors"
  | "clock jump";

/** One step. Operations of a fault run at the same time. */
export type Step =
  | Operation
  | { do: "fault"; fault: Blow | LastingFault; afterMs: number; lastsMs: number; during: Operation[] };

const workloadsMax = 6;
const afterMsMax = 300;
const lastsMsMax = 1_500;

export class Schedule {
  readonly #random: () => number;
  readonly #hasServices: boolean;
  /** Workloads that were deployed and not stopped, if all goes well. */
  #live: Plan[] = [];
  #count = 0;

  /** @param hasServices Whether services can be built here. */
  constructor(random: () => number, hasServices: boolean) {
    this.#random = random;
    this.#hasServices = hasServices;
  }

  /** @param mayKillNode Whether the node's own process may die. */
  next(mayKillNode: boolean): Step {
    if (this.#live.length < 2 || this.#random() < 0.5) return this.#operation();
    const fault = pick(
      this.#random,
      [...blows, ...states].filter((one) => mayKillNode || one !== "kill node"),
    );
    return {
      do: "fault",
      fault: fault as Blow | LastingFault,
      afterMs: Math.floor(this.#random() * afterMsMax),
      lastsMs: Math.floor(this.#random() * lastsMsMax),
      during: Array.from({ length: 1 + Math.floor(this.#random() * 2) }, () => this.#operation()),
    };
  }

  /** All workloads have been stopped. */
  clear(): void {
    this.#live = [];
  }

  #operation(): Operation {
    const draw = this.#random();
    const { length } = this.#live;
    if (length < 2 || (draw < 0.35 && length < workloadsMax)) return this.#deploy();
    const chosen = pick(this.#random, this.#live);
    if (draw < 0.45) return this.#deploy(chosen);
    if (draw < 0.6) {
      this.#live = this.#live.filter((one) => one !== chosen);
      return { do: "stop", name: chosen.name };
    }
    if (draw < 0.7 || chosen.kind === "service") return { do: "stop as somebody else", name: chosen.name };
    return { do: "call", name: chosen.name, messages: 1 + Math.floor(this.#random() * 20) };
  }

  /** @param replaced It ends for the new one, which is of the same kind, issuer and namespace. */
  #deploy(replaced?: Plan): Operation {
    const random = this.#random;
    const plan: Plan = {
      name: `w${++this.#count}`,
      kind: this.#hasServices && random() < 0.35 ? "service" : "function",
      namespace: pick(random, namespaces),
      issuer: pick(random, [0, 1] as const),
      replicas: pick(random, [1, 1, 2]),
      essential: random() < 0.5,
    };
    if (replaced === undefined) {
      this.#live.push(plan);
      return { do: "deploy", plan };
    }
    const { kind, namespace, issuer } = replaced;
    const next = { ...plan, kind, namespace, issuer };
    this.#live = [...this.#live.filter((one) => one !== replaced), next];
    return { do: "deploy", plan: next, replaces: replaced.name };
  }
}

/** A step in words. */
export function describeStep(step: Step): string {
  switch (step.do) {
    case "deploy": {
      const { name, kind, namespace, issuer, replicas, essential } = step.plan;
      const more = `${replicas} replicas${essential ? ", essential" : ""}, issuer ${issuer}`;
      const instead = step.replaces === undefined ? "" : `, replaces ${step.replaces}`;
      return `deploy ${kind} ${namespace}/${name} (${more}${instead})`;
    }
    case "call":
      return `send ${step.messages} messages to ${step.name}`;
    case "fault": {
      const { fault, afterMs, lastsMs, during } = step;
      return `${fault} after ${afterMs} ms for ${lastsMs} ms, meanwhile: ${during.map(describeStep).join("; ")}`;
    }
    default:
      return `${step.do} ${step.name}`;
  }
}
