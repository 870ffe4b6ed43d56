/**
 * `hostServices.http`: HTTP requests from the node. Addresses are checked when the socket connects, and after each redirect,
 * so that neither a name nor a redirect reaches the host's own network.
 */
import { lookup } from "node:dns";
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { hostCallBytesMax } from "@nexengine/protocol/agent";
import type { Share } from "../budget/quota.ts";
import type { AddressRules } from "./addresses.ts";
import { type AnswerRoom, type Method, numberOf, optionsOf, ServiceError, textOf } from "./service.ts";

const redirectsMax = 5;
const timeMsMax = 60_000;
const headerBytesMax = 65_536;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Headers that only the node sets: those about origin and framing. */
const ownHeaders: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "keep-alive",
  "te",
  "trailer",
  "proxy-authorization",
  "proxy-connection",
  "expect",
]);
const secretHeaders: readonly string[] = ["authorization", "cookie"];
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

interface Errand {
  method: string;
  url: URL;
  headers: Record<string, string>;
  body: Buffer | undefined;
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export class HttpService {
  readonly #rules: AddressRules;
  readonly #timeoutMs: number;
  readonly #sockets: Share;

  /** @param sockets The function's share of the node's sockets; each request takes one. */
  constructor(rules: AddressRules, timeoutMs: number, sockets: Share) {
    this.#rules = rules;
    this.#timeoutMs = timeoutMs;
    this.#sockets = sockets;
  }

  /** Arguments: method, URL, optional body, options. Answers with a JSON head and the body. */
  readonly send: Method = async ([methodArg, urlArg, body, optionsArg], room) => {
    const method = textOf(methodArg, "the method is missing");
    if (!methods.has(method)) throw new ServiceError(400, `the method ${method.slice(0, 20)} is not known`);
    const options = optionsOf(optionsArg);
    const timeoutMs = numberOf(options, "timeoutMs", { min: 1, max: timeMsMax, otherwise: this.#timeoutMs });
    const headers = headersOf(options["headers"]);
    const hasBody = body !== undefined && method !== "GET" && method !== "HEAD";
    if (hasBody) headers["content-type"] ??= "text/plain";
    const errand = {
      method,
      url: urlOf(textOf(urlArg, "url is required")),
      headers,
      body: hasBody ? body : undefined,
    };
    const signal = AbortSignal.timeout(timeoutMs);
    if (!this.#sockets.take(1))
      throw new ServiceError(429, "the node has no socket left for this request; try again later");
    try {
      const answer = await this.#follow(errand, signal, room);
      const head = { status: answer.status, headers: answer.headers };
      return { kind: "list", items: [Buffer.from(JSON.stringify(head)), answer.body] };
    } catch (error) {
      if (signal.aborted)
        throw new ServiceError(408, `no answer from ${errand.url.host} within ${timeoutMs} ms`);
      throw error;
    } finally {
      this.#sockets.give(1);
    }
  };

  async #follow(first: Errand, signal: AbortSignal, room: AnswerRoom): Promise<Answer> {
    let errand = first;
    for (let redirects = 0; ; redirects++) {
      const response = await this.#ask(errand, signal);
      const { location } = response.headers;
      const status = response.statusCode ?? 0;
      if (!redirectStatuses.has(status) || location === undefined)
        return await readAnswer(response, signal, room);
      response.destroy();
      if (redirects === redirectsMax) throw new ServiceError(500, `over ${redirectsMax} redirects`);
      errand = redirected(errand, status, urlOf(location, errand.url));
    }
  }

  async #ask({ method, url, headers, body }: Errand, signal: AbortSignal): Promise<IncomingMessage> {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
    // A literal address is not looked up.
    if (isIP(host) !== 0) this.#demand(host, host, port);
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const send = url.protocol === "https:" ? requestTls : requestPlain;
    const request = send(url, {
      method,
      headers: { "accept-encoding": "gzip, deflate, br", ...headers },
      agent: false,
      maxHeaderSize: headerBytesMax,
      lookup: this.#lookup(port),
      signal,
    });
    request.once("response", resolve);
    request.once("error", reject);
    // Protocol upgrades are not supported.
    request.once("upgrade", (_, socket) => socket.destroy());
    request.end(body);
    return await promise;
  }

  /** Looks up a name, and gives only allowed addresses. The socket uses exactly these. */
  #lookup(port: number): LookupFunction {
    return (hostname, options, done) => {
      lookup(hostname, { ...options, all: true }, (error, found) => {
        if (error !== null) {
          done(new Error(`${hostname} has no address: ${error.code}`), "", 0);
          return;
        }
        try {
          for (const { address } of found) this.#demand(hostname, address, port);
        } catch (refusal) {
          done(refusal as Error, "", 0);
          return;
        }
        const [first] = found;
        if (options.all) done(null, found);
        else done(null, first?.address ?? "", first?.family ?? 0);
      });
    };
  }

  #demand(host: string, address: string, port: number): void {
    if (this.#rules.allows(host, address, port)) return;
    const shown = host === address ? host : `${host} (${address})`;
    throw new ServiceError(403, `${shown} is an address of the inside, to which functions send no requests`);
  }
}

function redirected({ method, headers, body, url }: Errand, status: number, to: URL): Errand {
  const kept = { ...headers };
  // Headers for one host are not sent to another.
  if (to.host !== url.host || to.protocol !== url.protocol)
    for (const name of secretHeaders) delete kept[name];
  const turns = status === 303 ? method !== "HEAD" : (status === 301 || status === 302) && method === "POST";
  if (!turns) return { method, url: to, headers: kept, body };
  delete kept["content-type"];
  return { method: "GET", url: to, headers: kept, body: undefined };
}

function urlOf(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url === null) throw new ServiceError(400, `"${text.slice(0, 200)}" is not a URL`);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new ServiceError(400, `a request goes by http or https, not ${url.protocol}`);
  return url;
}

function headersOf(value: unknown): Record<string, string> {
  const headers: Record<string, string> = {};
  if (value === undefined || value === null) return headers;
  if (typeof value !== "object") throw new ServiceError(400, "headers must be an object of texts");
  for (const [name, text] of Object.entries(value)) {
    const lower = name.toLowerCase();
    if (
      typeof text !== "string" ||
      !/^[\w!#$%&'*+.^`|~-]+$/.test(name) ||
      !/^[\t\x20-\x7e\x80-\xff]*$/.test(text)
    )
      throw new ServiceError(400, `the header ${name.slice(0, 100)} is not valid`);
    if (ownHeaders.has(lower)) throw new ServiceError(400, `the header ${name} is not a function's to set`);
    headers[lower] = text;
  }
  return headers;
}

async function readAnswer(response: IncomingMessage, signal: AbortSignal, room: AnswerRoom): Promise<Answer> {
  const coding = response.headers["content-encoding"]?.toLowerCase();
  const decoder =
    coding === "gzip" || coding === "x-gzip"
      ? createGunzip()
      : coding === "deflate"
        ? createInflate()
        : coding === "br"
          ? createBrotliDecompress()
          : undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  const source = decoder === undefined ? response : response.pipe(decoder);
  if (decoder !== undefined) response.once("error", (error) => decoder.destroy(error));
  const abort = (): void => void source.destroy(new ServiceError(408, "the time is over"));
  signal.addEventListener("abort", abort, { once: true });
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      size += chunk.length;
      // Room for the head.
      if (size > hostCallBytesMax - 2 * headerBytesMax)
        throw new ServiceError(413, `the answer has over ${hostCallBytesMax - 2 * headerBytesMax} bytes`);
      room.take(chunk.length);
      chunks.push(chunk);
    }
  } finally {
    signal.removeEventListener("abort", abort);
    response.destroy();
    decoder?.destroy();
  }
  return { status: response.statusCode ?? 0, headers: shownHeaders(response), body: Buffer.concat(chunks) };
}

/** Header names in their usual case; values of one name are joined. */
function shownHeaders({ headersDistinct }: IncomingMessage): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, values] of Object.entries(headersDistinct)) {
    const written = name.replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
    shown[written] = (values ?? []).join(", ");
  }
  return shown;
}
