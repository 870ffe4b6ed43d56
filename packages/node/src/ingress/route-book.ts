/** All announced routes that a listener believes, and which of them wins. */
import { errorText } from "@nexengine/protocol/errors";
import {
  parseRoute,
  type RequestPath,
  type RouteMatch,
  type RouteOfMethods,
  RouteTable,
  routesCollide,
} from "@nexengine/protocol/formats";
import { type AnnouncedRoute, checkTriggers } from "@nexengine/protocol/messages";
import type { Logger } from "pino";
import type { HeardRoutes } from "./route-feed.ts";

const mebibyte = 1_048_576;
const copiesMax = 8_192;
const copiesOfNamespaceMax = 1_024;
const bytesMax = 32 * mebibyte;
const bytesOfNamespaceMax = 4 * mebibyte;
/** Maximum number of log lines that are told once and remembered. */
const toldMax = 1_024;

/** A route that requests can match, and where it leads. */
export interface BookedRoute extends RouteOfMethods {
  namespace: string;
  workloadName: string;
  /** As announced. */
  settings: AnnouncedRoute;
}

export interface RouteBookOptions {
  /** Namespaces that may use a host; `*` stands for all other hosts. */
  hosts: Readonly<Record<string, readonly string[]>>;
  /** Time after which a copy that says nothing is forgotten, in ms. */
  silentMs: number;
  log: Logger;
}

/** The announcement of one copy. */
interface Copy extends Omit<HeardRoutes, "announcement"> {
  workloadId: string;
  since: number;
  routes: readonly BookedRoute[];
  /** By which a repeated announcement is known. */
  text: string;
  heardAtMs: number;
}

interface Size {
  copies: number;
  bytes: number;
}
const noSize: Size = { copies: 0, bytes: 0 };

interface Candidate {
  route: BookedRoute;
  since: number;
  workloadId: string;
}

export class RouteBook {
  readonly #options: RouteBookOptions;
  /** By namespace, workload and copy. */
  readonly #copies = new Map<string, Copy>();
  /** Sizes of the copies of a namespace. */
  readonly #sizes = new Map<string, Size>();
  /** Bytes of all copies. */
  #bytes = 0;
  readonly #told = new Set<string>();
  #table: RouteTable<BookedRoute> | undefined;

  constructor(options: RouteBookOptions) {
    this.#options = options;
  }

  /** Number of copies that are known. */
  get size(): number {
    return this.#copies.size;
  }

  /** Takes an announcement from somebody who may speak for its namespace. */
  hear({ namespace, workloadName, announcement, bytes }: HeardRoutes, nowMs: number): void {
    const { copy, since, workload_id: workloadId, routes: announced } = announcement;
    const key = `${namespace} ${workloadName} ${copy}`;
    const known = this.#copies.get(key);
    if (announced.length === 0) {
      this.#remove(key);
      return;
    }
    const text = JSON.stringify(announcement);
    if (known?.text === text) {
      known.heardAtMs = nowMs;
      return;
    }
    const whyNot = this.#whyNoRoom(namespace, bytes, known);
    if (whyNot !== undefined) {
      this.#tellOnce(
        `no room ${namespace}`,
        { namespace, workload: workloadName },
        `routes are ignored: ${whyNot}`,
      );
      return;
    }
    const routes = this.#booked(namespace, workloadName, announced);
    this.#set(key, {
      namespace,
      workloadName,
      workloadId,
      since,
      bytes,
      routes,
      text,
      heardAtMs: nowMs,
    });
  }

  /** Forgets copies that have said nothing for too long. */
  sweep(nowMs: number): void {
    for (const [key, { heardAtMs }] of this.#copies) {
      if (nowMs - heardAtMs > this.#options.silentMs) this.#remove(key);
    }
  }

  /** @param host In lower case, without a port. */
  match(method: string, host: string, path: RequestPath): RouteMatch<BookedRoute> {
    this.#table ??= new RouteTable(this.#winners());
    return this.#table.match(method, host, path, Object.hasOwn(this.#options.hosts, host));
  }

  #whyNoRoom(namespace: string, bytes: number, known: Copy | undefined): string | undefined {
    const more = known === undefined ? 1 : 0;
    const moreBytes = bytes - (known?.bytes ?? 0);
    const ofNamespace = this.#sizes.get(namespace) ?? noSize;
    if (ofNamespace.copies + more > copiesOfNamespaceMax)
      return `a namespace has ${copiesOfNamespaceMax} copies at most`;
    if (ofNamespace.bytes + moreBytes > bytesOfNamespaceMax)
      return `a namespace has ${bytesOfNamespaceMax} bytes of routes at most`;
    if (this.#copies.size + more > copiesMax) return `a listener knows ${copiesMax} copies at most`;
    return this.#bytes + moreBytes > bytesMax
      ? `a listener knows ${bytesMax} bytes of routes at most`
      : undefined;
  }

  #set(key: string, copy: Copy): void {
    this.#remove(key);
    this.#copies.set(key, copy);
    this.#count(copy, 1);
  }

  /** @returns whether it was there */
  #remove(key: string): boolean {
    const copy = this.#copies.get(key);
    if (copy === undefined) return false;
    this.#copies.delete(key);
    this.#count(copy, -1);
    return true;
  }

  #count({ namespace, bytes }: Copy, sign: 1 | -1): void {
    this.#table = undefined;
    this.#bytes += sign * bytes;
    const before = this.#sizes.get(namespace) ?? noSize;
    const copies = before.copies + sign;
    if (copies === 0) this.#sizes.delete(namespace);
    else this.#sizes.set(namespace, { copies, bytes: before.bytes + sign * bytes });
  }

  #booked(namespace: string, workloadName: string, announced: readonly AnnouncedRoute[]): BookedRoute[] {
    return announced.flatMap((settings): BookedRoute[] => {
      const facts = { namespace, workload: workloadName };
      try {
        checkTriggers([{ type: "http", ...settings }]);
      } catch (error) {
        this.#tellOnce(`bad ${namespace} ${workloadName}`, facts, `a route is ignored: ${errorText(error)}`);
        return [];
      }
      const route = parseRoute(settings.route);
      if (!this.#mayUse(namespace, route.host)) {
        const host = route.host ?? "hosts that are not listed";
        this.#tellOnce(
          `host ${namespace} ${workloadName} ${route.key}`,
          { ...facts, route: route.text },
          `a route is ignored: the configuration gives ${host} to other namespaces`,
        );
        return [];
      }
      return [{ route, methods: settings.methods, namespace, workloadName, settings }];
    });
  }

  #mayUse(namespace: string, host = "*"): boolean {
    const { hosts } = this.#options;
    const allowed = Object.hasOwn(hosts, host) ? hosts[host] : hosts["*"];
    return allowed?.includes(namespace) ?? true;
  }

  /**
   * Routes in the order in which they win. Of two workloads with the same route, the one that was deployed first has it,
   * so that all listeners agree. Of two copies of one workload, the newer one says how.
   */
  #winners(): BookedRoute[] {
    const candidates: Candidate[] = [];
    for (const { routes, since, workloadId } of this.#copies.values())
      for (const route of routes) candidates.push({ route, since, workloadId });
    candidates.sort(byAge);
    const taken = new Map<string, Candidate[]>();
    for (const candidate of candidates) {
      const { key } = candidate.route.route;
      const others = taken.get(key) ?? [];
      taken.set(key, others);
      const rival = others.find(
        ({ route }) => !isSameWorkload(route, candidate.route) && routesCollide(route, candidate.route),
      );
      if (rival === undefined) others.push(candidate);
      else this.#tellOfRival(candidate.route, rival.route);
    }
    return [...taken.values()]
      .flat()
      .sort((one, other) => byAge(other, one))
      .map(({ route }) => route);
  }

  #tellOfRival(loser: BookedRoute, winner: BookedRoute): void {
    const { namespace, workloadName, route } = loser;
    this.#tellOnce(
      `rival ${namespace} ${workloadName} ${winner.namespace} ${winner.workloadName} ${route.key}`,
      { namespace, workload: workloadName, route: route.text },
      `a route is ignored: ${winner.workloadName} in ${winner.namespace} was deployed first`,
    );
  }

  #tellOnce(key: string, facts: object, text: string): void {
    if (this.#told.has(key)) return;
    if (this.#told.size >= toldMax) this.#told.clear();
    this.#told.add(key);
    this.#options.log.warn(facts, text);
  }
}

function isSameWorkload(one: BookedRoute, other: BookedRoute): boolean {
  return one.namespace === other.namespace && one.workloadName === other.workloadName;
}

function byAge(one: Candidate, other: Candidate): number {
  if (one.since !== other.since) return one.since - other.since;
  return one.workloadId < other.workloadId ? -1 : one.workloadId > other.workloadId ? 1 : 0;
}
