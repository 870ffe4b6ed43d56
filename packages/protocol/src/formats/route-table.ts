/** Finds the route of a request. */
import type { RequestPath, Route, RouteOfMethods } from "./route.ts";

/** A parameter of a matched route. `*` is the name of the rest, whose value stays encoded. */
export type RouteParam = readonly [name: string, value: string];

/**
 * - `found`: the most specific route that takes the method.
 * - `method`: routes match, and none of them takes the method.
 * - `none`: no route matches.
 */
export type RouteMatch<Entry> =
  | { kind: "found"; entry: Entry; params: RouteParam[] }
  | { kind: "method"; allow: string[] }
  | { kind: "none" };

interface Place<Entry> {
  exact: Map<string, Place<Entry>>;
  param: Place<Entry> | undefined;
  /** Routes that end here. */
  ends: Entry[];
  /** Routes whose rest starts here. */
  rests: Entry[];
}

const newPlace = <Entry>(): Place<Entry> => ({ exact: new Map(), param: undefined, ends: [], rests: [] });

/**
 * Routes, of which the most specific one wins: one with a host before one without; then, from the left, an exact segment
 * before `:name` before `*`. A route that does not take the method gives way to the next one.
 */
export class RouteTable<Entry extends RouteOfMethods> {
  /** By host; `""` for those without. */
  readonly #hosts = new Map<string, Place<Entry>>();

  /** @param entries Of two with the same route and method, the first one wins. */
  constructor(entries: Iterable<Entry>) {
    for (const entry of entries) this.#add(entry);
  }

  #add(entry: Entry): void {
    const { host = "", segments } = entry.route;
    let place = this.#hosts.get(host) ?? newPlace<Entry>();
    this.#hosts.set(host, place);
    for (const segment of segments) {
      if (segment.kind === "rest") {
        place.rests.push(entry);
        return;
      }
      const found = segment.kind === "exact" ? place.exact.get(segment.text) : place.param;
      const next: Place<Entry> = found ?? newPlace();
      if (segment.kind === "exact") place.exact.set(segment.text, next);
      else place.param = next;
      place = next;
    }
    place.ends.push(entry);
  }

  /**
   * @param host In lower case, without a port.
   * @param isOfHost Whether routes without a host do not count.
   */
  match(method: string, host: string, path: RequestPath, isOfHost = false): RouteMatch<Entry> {
    const allow = new Set<string>();
    let found: Entry | undefined;
    for (const root of [this.#hosts.get(host), isOfHost ? undefined : this.#hosts.get("")]) {
      found ??= root && find(root, path.segments, 0, method, allow);
    }
    if (found !== undefined) return { kind: "found", entry: found, params: paramsOf(found.route, path) };
    return allow.size > 0 ? { kind: "method", allow: [...allow].sort() } : { kind: "none" };
  }
}

/** Visits each place once at most, so a request costs no more than the size of the table. */
function find<Entry extends RouteOfMethods>(
  place: Place<Entry>,
  segments: readonly string[],
  at: number,
  method: string,
  allow: Set<string>,
): Entry | undefined {
  const segment = segments[at];
  if (segment === undefined) return ofMethod(place.ends, method, allow);
  const exact = place.exact.get(segment);
  const byText = exact && find(exact, segments, at + 1, method, allow);
  if (byText !== undefined) return byText;
  // A slash at the end is no value.
  const byParam =
    segment === "" || place.param === undefined
      ? undefined
      : find(place.param, segments, at + 1, method, allow);
  return byParam ?? ofMethod(place.rests, method, allow);
}

/** A route for GET takes HEAD, too. */
function ofMethod<Entry extends RouteOfMethods>(
  entries: readonly Entry[],
  method: string,
  allow: Set<string>,
): Entry | undefined {
  const takes = (wanted: string) => (entry: Entry) => entry.methods?.includes(wanted) ?? true;
  const found = entries.find(takes(method)) ?? (method === "HEAD" ? entries.find(takes("GET")) : undefined);
  if (found === undefined) {
    for (const { methods = [] } of entries) {
      for (const one of methods) allow.add(one);
      if (methods.includes("GET")) allow.add("HEAD");
    }
  }
  return found;
}

function paramsOf({ segments }: Route, path: RequestPath): RouteParam[] {
  return segments.flatMap((segment, at): RouteParam[] => {
    if (segment.kind === "exact") return [];
    if (segment.kind === "rest") return [["*", path.raw.slice(at).join("/")]];
    return [[segment.name, path.segments[at] ?? ""]];
  });
}
