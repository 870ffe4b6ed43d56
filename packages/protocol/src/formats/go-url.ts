/**
 * `location` of a deploy request. Go's `url.URL` has no JSON encoding, so the wire has an object with Go's field names.
 */
import { z } from "zod";
import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";
import { goObject, goString } from "./go-json.ts";

/** Maximum length of a string in a location. */
export const locationPartBytesMax = 4096;

const part = goString.pipe(z.string().max(locationPartBytesMax));

/** A location as received: an object, possibly partial or with Go's other members, or a URL string. */
export const locationSchema = z.union([
  z.string().max(locationPartBytesMax).transform(goUrlOf),
  goObject({
    Scheme: part.optional(),
    Opaque: part.optional(),
    Host: part.optional(),
    Path: part.optional(),
    RawPath: part.optional(),
    RawQuery: part.optional(),
    Fragment: part.optional(),
    RawFragment: part.optional(),
  }),
]);
export type Location = z.infer<typeof locationSchema>;

/** The complete object that a Go node expects. */
export interface GoUrl {
  Scheme: string;
  Opaque: string;
  User: null | Record<string, never>;
  Host: string;
  Path: string;
  RawPath: string;
  OmitHost: boolean;
  ForceQuery: boolean;
  RawQuery: string;
  Fragment: string;
  RawFragment: string;
}

const empty: GoUrl = {
  Scheme: "",
  Opaque: "",
  User: null,
  Host: "",
  Path: "",
  RawPath: "",
  OmitHost: false,
  ForceQuery: false,
  RawQuery: "",
  Fragment: "",
  RawFragment: "",
};

/** Location of an object in an object store bucket. */
export function objectLocation(bucket: string, key: string): GoUrl {
  return { ...empty, Scheme: "nats", Host: bucket, Path: `/${key}` };
}

/**
 * Parses a URL like Go's `url.Parse`, as far as locations need it: the host keeps its case and port, the path is
 * percent-decoded, credentials are dropped.
 *
 * @throws NexError `malformed_request` for a bad percent escape.
 */
export function goUrlOf(text: string): GoUrl {
  const url = { ...empty };
  let rest = text;
  const hash = rest.indexOf("#");
  if (hash >= 0) {
    url.Fragment = decode(rest.slice(hash + 1));
    rest = rest.slice(0, hash);
  }
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(rest);
  if (scheme?.[1] !== undefined) {
    url.Scheme = scheme[1].toLowerCase();
    rest = rest.slice(scheme[0].length);
  }
  const query = rest.indexOf("?");
  if (query >= 0) {
    url.RawQuery = rest.slice(query + 1);
    url.ForceQuery = url.RawQuery === "";
    rest = rest.slice(0, query);
  }
  if (rest.startsWith("//")) {
    const slash = rest.indexOf("/", 2);
    const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash);
    rest = slash < 0 ? "" : rest.slice(slash);
    const at = authority.lastIndexOf("@");
    if (at >= 0) url.User = {};
    url.Host = authority.slice(at + 1);
  }
  url.Path = decode(rest);
  return url;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    // Don't quote the whole text: it may hold a password.
    const bad = /%(?![0-9a-f]{2}).{0,2}/i.exec(text)?.[0] ?? "";
    const quoted = bad === "" ? "" : ` "${printable(bad)}"`;
    throw new NexError("malformed_request", `Cannot read the location: bad percent escape${quoted}`, {
      cause,
    });
  }
}

/**
 * Bucket and key of a location. The scheme is ignored, as in Go Nex.
 *
 * @throws NexError `field_missing` if either is empty.
 */
export function parseObjectLocation(location: Location): { bucket: string; key: string } {
  const bucket = location.Host ?? "";
  const key = (location.Path ?? "").replace(/^\/+|\/+$/g, "");
  if (bucket === "" || key === "") {
    throw new NexError(
      "field_missing",
      "Cannot find the artifact: location must name a bucket (Host) and a key (Path)",
    );
  }
  return { bucket, key };
}
