/** Announces the routes of one copy of a workload, objects to others that want them, and hears who has them before. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";
import {
  parseJson,
  parseRoute,
  type Route,
  type RouteOfMethods,
  routesCollide,
} from "@nexengine/protocol/formats";
import {
  type AnnouncedRoute,
  type RoutesAnnouncement,
  type RoutesWanted,
  routesAnnouncementBytesMax,
  routesWantedSchema,
} from "@nexengine/protocol/messages";
import { printable, routesSubject, routesWantedSubject } from "@nexengine/protocol/subjects";
import { LastingSubscription, subscribingConnection } from "../../../connections/lasting-subscription.ts";
import { onPublishDenied, onReconnect } from "../../../connections/signals.ts";
import { AnnouncementRates } from "../../../ingress/announcement-rates.ts";
import { followRoutes, type HeardRoutes } from "../../../ingress/route-feed.ts";

/** Maximum delay of the answer to a question of all, so that copies do not answer at once. */
const answerDelayMsMax = 200;
/** Time for objections to a new workload. Those who object answer at once. */
const objectionsMs = 500;
/** Minimum interval of objections. */
const objectionIntervalMs = 50;

/** Times of announcements. */
export interface RouteTimes {
  /** Interval; each announcement is up to a fifth earlier. */
  routesAnnounceMs: number;
  /** Time after which a copy that says nothing counts as gone. */
  routesSilentMs: number;
}

/** The workload of an announcer. */
export interface RouteOwner {
  namespace: string;
  name: string;
  id: string;
  /** Time of the deploy, in Unix ms. */
  deployedAtMs: number;
}

/** Routes of a workload. */
export interface AnnouncerRoutes {
  routes: readonly AnnouncedRoute[];
  /** Whether a route is announced now. @param place Its place in the list */
  isAnnounced(place: number): boolean;
}

/** Another workload that has a route of this one. */
interface Rival {
  name: string;
  route: Route;
  heardAtMs: number;
}

export class RouteAnnouncer {
  readonly #connection: NatsConnection;
  readonly #owner: RouteOwner;
  readonly #routes: readonly AnnouncedRoute[];
  readonly #isAnnounced: (place: number) => boolean;
  readonly #parsed: readonly RouteOfMethods[];
  readonly #times: RouteTimes;
  readonly #copy = randomUUID();
  readonly #subject: string;
  /** The workload that has a route of ours by right, by the place of the route. */
  readonly #rivals = new Map<number, Rival>();
  readonly #ends: (() => void)[] = [];
  #asked: LastingSubscription | undefined;
  #timer: NodeJS.Timeout | undefined;
  #answer: NodeJS.Timeout | undefined;
  /** Bounds on questions. */
  readonly #rates = new AnnouncementRates();
  #announcedAtMs = 0;
  #isDenied = false;
  #isClaiming = false;

  constructor(
    connection: NatsConnection,
    owner: RouteOwner,
    { routes, isAnnounced }: AnnouncerRoutes,
    times: RouteTimes,
  ) {
    this.#connection = connection;
    this.#times = times;
    this.#owner = owner;
    this.#routes = routes;
    this.#isAnnounced = isAnnounced;
    this.#parsed = parsed(routes);
    this.#subject = routesSubject(owner.namespace, owner.name);
  }

  /**
   * Asks whether another workload of the namespace has one of the routes.
   *
   * @throws NexError `route_taken`, or `trigger_invalid` when the routes fit into no announcement
   */
  async claim(): Promise<void> {
    const { namespace, name } = this.#owner;
    const wanted: RoutesWanted = {
      version: 1,
      objections_to: { namespace, name, routes: [...this.#routes] },
    };
    const question = JSON.stringify(wanted);
    if (Buffer.byteLength(question) > routesAnnouncementBytesMax) {
      throw new NexError(
        "trigger_invalid",
        `Cannot announce the routes of "${name}": with their origins and accounts they have ${Buffer.byteLength(question)} bytes, at most ${routesAnnouncementBytesMax} are announced`,
      );
    }
    const unfollow = this.#follow();
    this.#isClaiming = true;
    try {
      this.#connection.publish(routesWantedSubject, question);
      await sleep(objectionsMs);
    } finally {
      this.#isClaiming = false;
      unfollow();
    }
    const [found] = this.#rivals;
    if (found === undefined) return;
    const [place, { name: other, route }] = found;
    throw new NexError(
      "route_taken",
      `Cannot deploy "${name}": the workload "${other}" has the route ${printable(route.text)}, which takes requests for ${printable(this.#routes[place]?.route ?? "")}`,
      { advice: "Stop that workload, or choose another route or other methods" },
    );
  }

  /** Why a route leads elsewhere, or nowhere; `undefined` when it does not. @param place Its place in the list */
  problem(place: number): string | undefined {
    const rival = this.#rivals.get(place);
    if (rival !== undefined && Date.now() - rival.heardAtMs <= this.#times.routesSilentMs)
      return `its route is taken by the workload "${rival.name}"`;
    if (this.#isDenied) return "NATS does not permit to announce its route";
    return undefined;
  }

  /** Announces the routes until `stop`. */
  start(): void {
    const connection = this.#connection;
    this.#ends.push(
      this.#follow(),
      onReconnect(connection, () => this.#announceSoon()),
      onPublishDenied(connection, (subject) => {
        if (subject === this.#subject) this.#isDenied = true;
      }),
    );
    this.#asked = new LastingSubscription(
      subscribingConnection(connection),
      routesWantedSubject,
      () => {
        const subscribed = connection.subscribe(routesWantedSubject, {
          callback: (error, message) => {
            if (error === null) this.#wanted(message.data);
          },
        });
        return { drain: () => subscribed.drain(), drop: () => subscribed.unsubscribe() };
      },
      { refused: () => undefined, back: () => this.#announceSoon() },
    );
    this.#announceAgain();
  }

  /** Says that the routes are gone. */
  stop(): void {
    if (this.#asked === undefined) return;
    clearTimeout(this.#timer);
    clearTimeout(this.#answer);
    for (const end of this.#ends.splice(0)) end();
    void this.#asked.drain().catch(() => undefined);
    this.#asked = undefined;
    this.#publish([]);
  }

  /** Announces what has changed. */
  announce(): void {
    if (this.#asked !== undefined) this.#publish(this.#routes.filter((_, place) => this.#isAnnounced(place)));
  }

  #announceAgain(): void {
    this.announce();
    const delayMs = this.#times.routesAnnounceMs * (1 - Math.random() / 5);
    this.#timer = setTimeout(() => this.#announceAgain(), delayMs);
    this.#timer.unref();
  }

  #announceSoon(delayMs = Math.random() * answerDelayMsMax): void {
    if (this.#answer !== undefined || this.#asked === undefined) return;
    this.#answer = setTimeout(() => {
      this.#answer = undefined;
      this.announce();
    }, delayMs);
  }

  #publish(routes: readonly AnnouncedRoute[]): void {
    if (this.#connection.isClosed()) return;
    const { id, deployedAtMs } = this.#owner;
    const announcement: RoutesAnnouncement = {
      version: 1,
      copy: this.#copy,
      workload_id: id,
      since: deployedAtMs,
      routes: [...routes],
    };
    this.#isDenied = false;
    this.#announcedAtMs = Date.now();
    this.#connection.publish(this.#subject, JSON.stringify(announcement));
  }

  /** A question of all is answered soon, and a claim of another workload at once, but not more often than makes sense. */
  #wanted(data: Uint8Array): void {
    if (!this.#rates.takes(this.#owner.namespace, data.length, Date.now())) return;
    let wanted: RoutesWanted;
    try {
      wanted = parseJson(data, routesWantedSchema, "Cannot read a question", routesAnnouncementBytesMax);
    } catch {
      return;
    }
    const claim = wanted.objections_to;
    if (claim === undefined) {
      this.#announceSoon();
      return;
    }
    if (claim.namespace !== this.#owner.namespace || claim.name === this.#owner.name) return;
    const others = parsed(claim.routes);
    if (!this.#parsed.some((route) => others.some((other) => routesCollide(route, other)))) return;
    if (Date.now() - this.#announcedAtMs > objectionIntervalMs) this.announce();
    else this.#announceSoon(objectionIntervalMs);
  }

  #follow(): () => void {
    return followRoutes(
      this.#connection,
      this.#owner.namespace,
      (heard) => this.#heard(heard),
      () => undefined,
    );
  }

  /** Keeps whoever has a route by right: who was deployed first. To a claim, everybody is first. */
  #heard({ workloadName, announcement }: HeardRoutes): void {
    const { name, id, deployedAtMs } = this.#owner;
    if (workloadName === name) return;
    const { since, workload_id: otherId, routes } = announcement;
    const isBefore = this.#isClaiming || since < deployedAtMs || (since === deployedAtMs && otherId < id);
    const others = isBefore ? parsed(routes) : [];
    for (const [place, route] of this.#parsed.entries()) {
      const taken = others.find((other) => routesCollide(route, other));
      if (taken !== undefined)
        this.#rivals.set(place, { name: workloadName, route: taken.route, heardAtMs: Date.now() });
      else if (this.#rivals.get(place)?.name === workloadName) this.#rivals.delete(place);
    }
  }
}

/** An announcement of somebody else may hold a text that is no route. */
function parsed(routes: readonly AnnouncedRoute[]): RouteOfMethods[] {
  return routes.flatMap(({ route, methods }) => {
    try {
      return { route: parseRoute(route), methods };
    } catch {
      return [];
    }
  });
}
