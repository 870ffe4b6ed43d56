/** The facts about a call's trigger that a function gets: from the table of the deploy, the subject, the delivery and headers. */
import type { ShownTrigger } from "@nexengine/protocol/agent";
import type { Call } from "./call-queue.ts";

type Fact = string | number | undefined;
/** Facts by name. They hold strings and numbers only, so that they can pass into a realm as JSON. */
export type TriggerFacts = Readonly<Record<string, Fact | Readonly<Record<string, Fact>>>>;

const nsPerMs = 1e6;
/** Tokens of an ack subject: without a domain, and the least with one. */
const ackTokens = 9;
const domainAckTokensMin = 11;
const paramHead = "nex-http-param-";

export class Triggers {
  readonly #table: readonly ShownTrigger[];

  /** @param table The triggers of the deploy; nothing from a node without typed triggers. */
  constructor(table: readonly ShownTrigger[] = []) {
    this.#table = table;
  }

  /** Whether a call came over HTTP. */
  isHttp(call: Pick<Call, "triggerPlace">): boolean {
    return this.#table[call.triggerPlace - 1]?.type === "http";
  }

  /** The facts about a call that names its trigger. */
  ofCall(call: Call): TriggerFacts {
    const trigger = this.#table[call.triggerPlace - 1];
    if (trigger === undefined || trigger.type === "subject") return this.ofSubject(call.subject);
    const { type, name } = trigger;
    switch (type) {
      case "stream":
        return { type, name, stream: trigger.stream, ...deliveryFacts(call.delivery) };
      case "kv":
        return { type, name, ...keyFacts(trigger.bucket, call), ...deliveryFacts(call.delivery) };
      case "object":
        return { type, name, ...objectFacts(trigger.bucket, call), ...deliveryFacts(call.delivery) };
      case "cron": {
        const { schedule, zone } = trigger;
        return {
          type,
          name,
          schedule,
          zone,
          ...plannedFacts(call.delivery),
          ...deliveryFacts(call.delivery),
        };
      }
      case "http":
        return { type, name, ...httpFacts(trigger.route, call.headers) };
    }
  }

  /** The facts about a call on a subject. The name is absent when several triggers could have taken the subject. */
  ofSubject(subject: string): TriggerFacts {
    const found = this.#table.filter(
      (trigger) => trigger.type === "subject" && matches(trigger.subject, subject),
    );
    const name = found.length === 1 ? found[0]?.name : undefined;
    return { type: "subject", ...(name === undefined ? {} : { name }), subject };
  }
}

function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  const isOpen = wanted.at(-1) === ">";
  if (isOpen ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
  return wanted.every((token, at) => token === "*" || token === tokens[at] || token === ">");
}

/** `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<…>.<time>.<pending>`, or with domain and account before the stream. */
function deliveryFacts(delivery: string): TriggerFacts {
  const [ack = ""] = delivery.split(" ", 1);
  const tokens = ack.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return {};
  if (tokens.length < domainAckTokensMin && tokens.length !== ackTokens) return {};
  const first = tokens.length === ackTokens ? 2 : 4;
  const number = (at: number): number => Number(tokens[first + at]);
  return {
    sequence: number(3),
    delivery: number(2),
    timeMs: Math.floor(number(5) / nsPerMs),
    pending: number(6),
  };
}

function plannedFacts(delivery: string): TriggerFacts {
  const planned = delivery.split(" ", 2)[1];
  return planned === undefined ? {} : { plannedMs: Number(planned) };
}

function keyFacts(bucket: string, { subject, headers, delivery }: Call): TriggerFacts {
  const head = `$KV.${bucket}.`;
  const key = subject.startsWith(head) ? subject.slice(head.length) : subject;
  const { sequence } = deliveryFacts(delivery) as { sequence?: number };
  return {
    bucket,
    key,
    operation: keyOperation(headers),
    ...(sequence === undefined ? {} : { revision: sequence }),
  };
}

function keyOperation(headers: string | undefined): string {
  const marker = headerOf(headers, "Nats-Marker-Reason");
  if (marker === "MaxAge") return "expired";
  const operation = headerOf(headers, "KV-Operation");
  if (operation === "PURGE" || marker === "Purge") return "purge";
  return operation === "DEL" || marker === "Remove" ? "delete" : "put";
}

/** The payload is the JSON that describes the object. */
function objectFacts(bucket: string, { payloadText }: Call): TriggerFacts {
  let described: unknown;
  try {
    described = JSON.parse(payloadText);
  } catch {
    described = undefined;
  }
  if (typeof described !== "object" || described === null) return { bucket, operation: "put", object: {} };
  const { name, nuid, digest, size, deleted } = described as Record<string, unknown>;
  return {
    bucket,
    operation: deleted === true ? "delete" : "put",
    object: {
      ...(typeof name === "string" ? { name } : {}),
      ...(typeof nuid === "string" ? { nuid } : {}),
      ...(typeof digest === "string" ? { digest } : {}),
      ...(typeof size === "number" ? { size } : {}),
    },
  };
}

function httpFacts(route: string, headers: string | undefined): TriggerFacts {
  const text = (name: string): string => headerOf(headers, `Nex-Http-${name}`) ?? "";
  const params = headerPairs(headers)
    .filter(([name]) => name.toLowerCase().startsWith(paramHead))
    .map(([name, value]) => [name.slice(paramHead.length), value]);
  return {
    method: text("Method"),
    path: text("Path"),
    query: text("Query"),
    host: text("Host"),
    scheme: text("Scheme"),
    client: text("Client"),
    route: headerOf(headers, "Nex-Http-Route") ?? route,
    params: Object.fromEntries(params),
  };
}

function headerOf(headers: string | undefined, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return headerPairs(headers).find(([found]) => found.toLowerCase() === wanted)?.[1];
}

function headerPairs(headers: string | undefined): [name: string, value: string][] {
  if (headers === undefined) return [];
  return headers.split("\r\n").flatMap((line): [string, string][] => {
    const colon = line.indexOf(":");
    return colon <= 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1).trim()]];
  });
}
