/** Triggers on HTTP requests. All of a workload share one subject; listeners tell by a header which route was meant. */
import type { NatsConnection } from "@nats-io/nats-core";
import { httpHeaders } from "@nexengine/protocol/messages";
import { httpSubject } from "@nexengine/protocol/subjects";
import type { Call, CallTrigger } from "../../function-calls.ts";
import { SubjectTrigger, type SubjectTriggerParts } from "../subject-trigger.ts";
import type { Trigger, TriggerHealth, TriggerSpec } from "../trigger.ts";
import type { TriggerMessage } from "../trigger-connection.ts";
import { RouteAnnouncer, type RouteOwner, type RouteTimes } from "./route-announcer.ts";

/** An HTTP trigger as admission has accepted it. */
export type HttpTriggerSpec = Extract<TriggerSpec, { type: "http" }>;

/** Parts of the HTTP triggers of a workload. */
export interface HttpGateParts extends Omit<SubjectTriggerParts, "owner" | "triggerOf"> {
  owner: RouteOwner;
  nats: NatsConnection;
  times: RouteTimes;
}

/** The HTTP triggers of one workload: their subscription, and the announcements of their routes. */
export class HttpGate {
  readonly #subject: SubjectTrigger;
  readonly #announcer: RouteAnnouncer;
  readonly #specs: readonly HttpTriggerSpec[];
  /** By route. Two triggers may have one route with different methods; then the method tells. */
  readonly #byRoute = new Map<string, HttpTrigger[]>();
  /** Triggers that are started and not paused. */
  readonly #active = new Set<HttpTrigger>();

  constructor(triggers: readonly TriggerSpec[], parts: HttpGateParts) {
    const { owner, nats, times } = parts;
    const subject = httpSubject(owner.namespace, owner.name);
    const triggerOf = (message: TriggerMessage): CallTrigger | undefined => this.#triggerOf(message);
    // The parts are shared by all kinds of triggers, so they are not changed here.
    this.#subject = new SubjectTrigger({ type: "subject", name: "http", subject }, { ...parts, triggerOf });
    this.#specs = triggers.filter((spec) => spec.type === "http");
    const routes = this.#specs.map(({ type: _, name: __, ...route }) => route);
    const isAnnounced = (place: number): boolean =>
      [...this.#active].some(({ spec }) => spec === this.#specs[place]);
    this.#announcer = new RouteAnnouncer(nats, owner, { routes, isAnnounced }, times);
  }

  /** Makes the trigger of a route. @param index Its place in the deploy */
  trigger(spec: HttpTriggerSpec, index: number): HttpTrigger {
    const trigger = new HttpTrigger(spec, index, this, this.#subject);
    this.#byRoute.set(spec.route, [...(this.#byRoute.get(spec.route) ?? []), trigger]);
    return trigger;
  }

  /** Subject to subscribe to; `undefined` without HTTP triggers. */
  get subject(): string | undefined {
    return this.#specs.length === 0 ? undefined : this.#subject.spec.subject;
  }

  /** Asks for the routes. @throws NexError `route_taken` */
  async claim(): Promise<void> {
    if (this.#specs.length > 0) await this.#announcer.claim();
  }

  health(trigger: HttpTrigger): TriggerHealth {
    const { health } = this.#subject;
    if (health.state === "active" && !this.#active.has(trigger)) return { state: "paused" };
    const problem = health.problem ?? this.#announcer.problem(this.#specs.indexOf(trigger.spec));
    return problem === undefined ? health : { ...health, problem };
  }

  async start(trigger: HttpTrigger): Promise<void> {
    const isFirst = this.#active.size === 0;
    this.#active.add(trigger);
    if (!isFirst) return;
    // Listeners hear of the routes when requests arrive, not before.
    await this.#subject.start();
    this.#announcer.start();
  }

  /** Takes the route of a trigger away. A request that a listener still sends is answered. */
  async pause(trigger: HttpTrigger): Promise<void> {
    if (!this.#active.delete(trigger)) return;
    this.#announcer.announce();
    if (this.#active.size === 0) await this.#subject.pause();
  }

  async resume(trigger: HttpTrigger): Promise<void> {
    this.#active.add(trigger);
    await this.#subject.resume();
    this.#announcer.announce();
  }

  /** The first trigger that ends takes the routes away, because all end together. */
  async drain(): Promise<void> {
    this.#announcer.stop();
    await this.#subject.drain();
  }

  async stop(): Promise<void> {
    this.#announcer.stop();
    await this.#subject.stop();
  }

  #triggerOf({ bytes, headersStart, payloadStart }: TriggerMessage): CallTrigger | undefined {
    const head = bytes.toString("latin1", headersStart, payloadStart);
    const found = this.#byRoute.get(valueOfHeader(head, httpHeaders.route) ?? "");
    if (found === undefined || found.length < 2) return found?.[0];
    const method = valueOfHeader(head, httpHeaders.method) ?? "";
    return (
      found.find(({ spec }) => spec.methods?.includes(method)) ??
      found.find(({ spec }) => spec.methods === undefined) ??
      found[0]
    );
  }
}

/** Listeners write headers in one way, so the name is compared as it is. */
function valueOfHeader(head: string, name: string): string | undefined {
  const start = head.indexOf(`\r\n${name}:`);
  if (start < 0) return undefined;
  const valueStart = start + name.length + 3;
  return head.slice(valueStart, head.indexOf("\r\n", valueStart)).trim();
}

/** One route of a workload. */
export class HttpTrigger implements Trigger, CallTrigger {
  readonly spec: HttpTriggerSpec;
  readonly index: number;
  readonly #gate: HttpGate;
  readonly replied: CallTrigger["replied"];
  readonly failed: CallTrigger["failed"];

  /** @param answers Sends the outcomes of calls. */
  constructor(spec: HttpTriggerSpec, index: number, gate: HttpGate, answers: CallTrigger) {
    this.spec = spec;
    this.index = index;
    this.#gate = gate;
    this.replied = (call: Call, reply) => answers.replied(call, reply);
    this.failed = (call: Call, failure, runTicks) => answers.failed(call, failure, runTicks);
  }

  get health(): TriggerHealth {
    return this.#gate.health(this);
  }

  start(): Promise<void> {
    return this.#gate.start(this);
  }

  pause(): Promise<void> {
    return this.#gate.pause(this);
  }

  resume(): Promise<void> {
    return this.#gate.resume(this);
  }

  drain(): Promise<void> {
    return this.#gate.drain();
  }

  stop(): Promise<void> {
    return this.#gate.stop();
  }
}
