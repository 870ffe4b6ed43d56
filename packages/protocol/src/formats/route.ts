/** Routes of HTTP triggers: which requests they take, and the parts of a request's path. Paths are compared decoded. */
import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";

/** Maximum number of segments of a route, and of a path. */
const pathSegmentsMax = 64;
const hostCharactersMax = 253;
const paramPattern = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const hostPattern = /^(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/;

/** One segment of a route. `rest` is the last one, and takes one segment or more. */
type RouteSegment = { kind: "exact"; text: string } | { kind: "param"; name: string } | { kind: "rest" };

/** A route: `[host]/path`. */
export interface Route {
  /** As written. */
  text: string;
  /** In lower case; `undefined` for every host. */
  host: string | undefined;
  segments: readonly RouteSegment[];
  /** The same for routes that match the same requests, whatever their parameters are called. */
  key: string;
}

/** A route with its methods; `undefined` for every method. */
export interface RouteOfMethods {
  route: Route;
  methods: readonly string[] | undefined;
}

/**
 * Reads a route: `/orders/:id`, `shop.example/files/*`.
 *
 * @throws NexError `trigger_invalid`
 */
export function parseRoute(text: string): Route {
  const refused = (why: string): NexError =>
    new NexError("trigger_invalid", `Cannot use the route "${printable(text)}": ${why}`);
  if (!/^[\x21-\x7e]+$/.test(text))
    throw refused("it has a character beyond printable ASCII; write it as %XX");
  const slash = text.indexOf("/");
  if (slash < 0) throw refused("it has no path; the shortest is /");
  const host = slash === 0 ? undefined : text.slice(0, slash).toLowerCase();
  if (host !== undefined && (host.length > hostCharactersMax || !hostPattern.test(host)))
    throw refused(`"${printable(host)}" is not a host name without a port`);
  if (/[?#]/.test(text)) throw refused("a route has no query");
  const path = text.slice(slash);
  const parts = path === "/" ? [] : path.slice(1).split("/");
  if (parts.length > pathSegmentsMax) throw refused(`it has more than ${pathSegmentsMax} segments`);
  const names = new Set<string>();
  const segments = parts.map((part, at): RouteSegment => {
    const isLast = at === parts.length - 1;
    if (part === "*") {
      if (isLast) return { kind: "rest" };
      throw refused("* stands for the rest, so it is the last segment");
    }
    if (part.includes("*")) throw refused(`the segment "${part}" has a *, which stands alone`);
    if (part.startsWith(":")) {
      const name = part.slice(1);
      if (!paramPattern.test(name))
        throw refused(`"${part}" is not : and a name of letters, digits, - and _`);
      if (names.has(name.toLowerCase())) throw refused(`it has two parameters "${name}"`);
      names.add(name.toLowerCase());
      return { kind: "param", name };
    }
    const decoded = decodeSegment(part);
    if (decoded === undefined) throw refused(`the segment "${part}" is not percent-encoded UTF-8`);
    if (!isPlainSegment(decoded, isLast)) throw refused('a segment is empty, "." or ".."');
    return { kind: "exact", text: decoded };
  });
  return { text, host, segments, key: keyOf(host, segments) };
}

function keyOf(host: string | undefined, segments: readonly RouteSegment[]): string {
  const parts = segments.map((segment) => {
    if (segment.kind === "exact") return encodeURIComponent(segment.text).replaceAll("*", "%2A");
    return segment.kind === "param" ? ":" : "*";
  });
  return `${host ?? ""}/${parts.join("/")}`;
}

/** Whether two routes take some request both, and neither is the more specific one. */
export function routesCollide(one: RouteOfMethods, other: RouteOfMethods): boolean {
  if (one.route.key !== other.route.key) return false;
  const { methods } = one;
  if (methods === undefined || other.methods === undefined) return true;
  return other.methods.some((method) => methods.includes(method));
}

/** The path of a request, without its query. */
export interface RequestPath {
  /** Decoded. A last empty one stands for a slash at the end. */
  segments: readonly string[];
  /** As sent. */
  raw: readonly string[];
}

/**
 * Splits the path of a request. An encoded slash stays inside its segment.
 *
 * @returns `undefined` for a path that has no meaning of its own: a bad encoding, a segment that is `.` or `..`, an empty
 *   segment that is not the last one, or too many segments.
 */
export function splitPath(path: string): RequestPath | undefined {
  if (!/^\/[\x21-\x7e]*$/.test(path) || /[?#]/.test(path)) return undefined;
  const raw = path === "/" ? [] : path.slice(1).split("/");
  if (raw.length > pathSegmentsMax) return undefined;
  const segments: string[] = [];
  for (const [at, part] of raw.entries()) {
    const decoded = decodeSegment(part);
    if (decoded === undefined || !isPlainSegment(decoded, at === raw.length - 1)) return undefined;
    segments.push(decoded);
  }
  return { segments, raw };
}

/** Servers and proxies disagree about what `.`, `..` and empty segments lead to, so none of them matches anything. */
function isPlainSegment(decoded: string, isLast: boolean): boolean {
  return decoded !== "." && decoded !== ".." && (decoded !== "" || isLast);
}

function decodeSegment(part: string): string | undefined {
  if (!part.includes("%")) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
