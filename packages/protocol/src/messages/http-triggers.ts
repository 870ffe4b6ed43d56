/** Checks of HTTP triggers that a schema does not show. */
import { parseRoute, type RouteOfMethods, routesCollide } from "../formats/route.ts";
import { printable } from "../subjects/names.ts";
import { isPublicKey } from "../tokens/keys.ts";
import type { TriggerRequest } from "./triggers.ts";

type HttpTrigger = Extract<TriggerRequest, { type: "http" }>;

/** Methods that a server answers by itself, or that make it a tunnel. */
const methodsRefused: readonly string[] = ["CONNECT", "TRACE"];

/**
 * Why an HTTP trigger can't be used; `undefined` when it can.
 *
 * @throws NexError `trigger_invalid` for its route.
 */
export function httpRefusal({ route, methods, auth, cors }: HttpTrigger): string | undefined {
  parseRoute(route);
  const method = methods?.find((one) => methodsRefused.includes(one));
  if (method !== undefined) return `the method ${method} can't be routed`;
  if (auth !== "none") {
    const account = auth.accounts.find((one) => !isPublicKey(one, "A"));
    if (account !== undefined) return `"${printable(account)}" is not the public key of an account (A…)`;
  }
  const origin = cors?.find((one) => !isOrigin(one));
  if (origin !== undefined)
    return `"${printable(origin)}" is not an origin such as https://shop.example or http://localhost:3000`;
  return undefined;
}

/** As browsers send it: scheme and host in lower case, no default port, no path. */
function isOrigin(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && url.origin === text;
}

/** A trigger whose route another one of the list has. */
export function collidingRoutes(triggers: readonly TriggerRequest[]): HttpTrigger | undefined {
  const before: RouteOfMethods[] = [];
  for (const trigger of triggers) {
    if (trigger.type !== "http") continue;
    const one = { route: parseRoute(trigger.route), methods: trigger.methods };
    if (before.some((other) => routesCollide(one, other))) return trigger;
    before.push(one);
  }
  return undefined;
}
