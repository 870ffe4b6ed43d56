/** One HTTP request from its first byte to its response. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { callHeaderBytesMax } from "@nexengine/protocol/agent";
import { triggerBounds } from "@nexengine/protocol/messages";
import { httpSubject } from "@nexengine/protocol/subjects";
import type { Share } from "../budget/quota.ts";
import type { TriggerMessage } from "../functions/triggers/trigger-connection.ts";
import type { BearerTokens } from "./bearer.ts";
import { originHeaders, preflightHeaders, preflightMethod } from "./cors.ts";
import { headersOfRequest } from "./request-message.ts";
import { type RequestTarget, readTarget } from "./request-target.ts";
import type { Requester } from "./requester.ts";
import {
  type FailedResponse,
  type FunctionResponse,
  failed,
  failedForNow,
  responseOf,
} from "./response-message.ts";
import type { BookedRoute, RouteBook } from "./route-book.ts";

/** Time in which the rest of a body may come after a response that did not wait for it, in ms. */
const lingerMs = 1_000;
/** Time in which a client must take a response, in ms. */
const responseTimeMs = 60_000;

/** Parts of a listener that its requests share. */
export interface ExchangeParts {
  book: RouteBook;
  tokens: BearerTokens;
  scheme: "http" | "https";
  bodyBytesMax: number;
  /** Bytes of requests and responses in memory. */
  held: Share;
  /** The way to the functions of a namespace; `undefined` while there is none. */
  requesterOf(namespace: string): Requester | undefined;
  /** Whether routes may be unknown because the listener has just started. */
  isWarmingUp(): boolean;
}

export class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #parts: ExchangeParts;
  readonly #id: string;
  readonly #expectsContinue: boolean;
  #heldBytes = 0;
  #isDone = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    parts: ExchangeParts,
    id: string,
    expectsContinue: boolean,
  ) {
    this.#request = request;
    this.#response = response;
    this.#parts = parts;
    this.#id = id;
    this.#expectsContinue = expectsContinue;
    response.once("close", () => {
      this.#isDone = true;
      parts.held.give(this.#heldBytes);
    });
  }

  start(): void {
    const failure = this.#begin();
    if (failure !== undefined) this.fail(failure);
  }

  /** @returns why there is nothing to wait for. */
  #begin(): FailedResponse | undefined {
    const request = this.#request;
    const target = readTarget(request);
    if (typeof target === "string") return failed(400, target);
    const coding = request.headers["transfer-encoding"];
    if (coding !== undefined && coding.toLowerCase() !== "chunked")
      return failed(501, "The transfer coding is not supported");
    const asked = preflightMethod(request);
    const cors = asked === undefined ? undefined : this.#originsOf(target, asked);
    if (asked !== undefined && cors !== undefined) return this.#preflight(cors, asked);
    const { method = "" } = request;
    const match = this.#parts.book.match(method, target.host, target.path);
    if (match.kind === "none" && this.#parts.isWarmingUp())
      return failedForNow(503, "The listener has just started");
    if (match.kind === "none") return failed(404, "No route takes this request");
    if (match.kind === "method" || method === "TRACE") {
      const allow = match.kind === "method" ? match.allow.join(", ") : "";
      return failed(405, "The route does not take this method", { Allow: allow });
    }
    const { entry, params } = match;
    const { settings } = entry;
    if (settings.cors !== undefined) this.#addOrigin(settings.cors);
    const user = this.#userOf(entry);
    if (user === false) return failed(401, "The route needs a token", { "WWW-Authenticate": "Bearer" });
    const head = headersOfRequest(request, {
      ...{ method, target, params, user, requestId: this.#id },
      route: settings.route,
      scheme: this.#parts.scheme,
      client: request.socket.remoteAddress ?? "",
    });
    if (head === undefined) return failed(400, "A header or a part of the path has control characters");
    if (head.length > callHeaderBytesMax) return failed(431, "The headers are too large");
    return this.#read(entry, Buffer.from(head, "latin1"));
  }

  /** Origins of the route that a preflight asks about. */
  #originsOf({ host, path }: RequestTarget, method: string): readonly string[] | undefined {
    const match = this.#parts.book.match(method, host, path);
    return match.kind === "found" ? match.entry.settings.cors : undefined;
  }

  #preflight(origins: readonly string[], method: string): FailedResponse | undefined {
    const headers = preflightHeaders(this.#request, origins, method);
    if (headers === undefined) return failed(403, "The origin may not call this route");
    this.#response.writeHead(204, headers).end();
    return undefined;
  }

  #addOrigin(origins: readonly string[]): void {
    for (const [name, value] of Object.entries(originHeaders(origins, this.#request.headers.origin)))
      this.#response.setHeader(name, value);
  }

  /** @returns `undefined` for everybody, and false for nobody. */
  #userOf({ settings: { auth } }: BookedRoute): string | undefined | false {
    if (auth === "none") return undefined;
    const { authorization } = this.#request.headersDistinct;
    if (authorization?.length !== 1) return false;
    return this.#parts.tokens.userOf(authorization[0], auth.accounts, Date.now()) ?? false;
  }

  /** Reads the body. */
  #read(entry: BookedRoute, head: Buffer): FailedResponse | undefined {
    const request = this.#request;
    const requester = this.#parts.requesterOf(entry.namespace);
    if (requester === undefined) return failedForNow(503, "The functions can't be reached now");
    const { body_bytes_max: ofRoute = triggerBounds.body_bytes_max.otherwise } = entry.settings;
    const room = requester.payloadBytesMax - head.length;
    const bytesMax = Math.min(this.#parts.bodyBytesMax, ofRoute, room);
    const tooLarge = failed(413, `The body has more than ${bytesMax} bytes`);
    if (Number(request.headers["content-length"] ?? 0) > bytesMax) return tooLarge;
    if (this.#expectsContinue) this.#response.writeContinue();
    const chunks = [head];
    let bytes = 0;
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      const isTooLarge = bytes > bytesMax;
      if (!isTooLarge && this.#hold(chunk.length)) {
        chunks.push(chunk);
        return;
      }
      request.off("data", take).off("end", end);
      this.fail(isTooLarge ? tooLarge : failedForNow(503, "The node has no room for the request"));
    };
    const end = (): void => this.#send(entry, requester, chunks, head.length + bytes);
    request.on("data", take).once("end", end);
    return undefined;
  }

  #hold(bytes: number): boolean {
    if (this.#isDone || !this.#parts.held.take(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  #send(entry: BookedRoute, requester: Requester, chunks: Buffer[], size: number): void {
    const [head = Buffer.alloc(0)] = chunks;
    const bytes = chunks.length === 1 ? head : Buffer.concat(chunks, size);
    const content = { bytes, headersStart: 0, payloadStart: head.length, payloadEnd: size };
    const timeMs = entry.settings.time_ms ?? triggerBounds.time_ms.otherwise;
    const subject = httpSubject(entry.namespace, entry.workloadName);
    const isSent = requester.send(subject, content, timeMs, (answer) => this.#answered(answer, entry));
    if (!isSent) this.fail(failedForNow(503, "The functions can't be reached now"));
  }

  /** The client may be gone; then nobody wants the answer. */
  #answered(answer: TriggerMessage | undefined, entry: BookedRoute): void {
    if (this.#isDone) return;
    try {
      const found =
        answer === undefined ? failed(504, "The function did not answer in time") : responseOf(answer);
      if (found.kind === "failed") this.fail(found);
      else if (this.#hold(found.body.length)) this.#respond(found, entry);
      else this.fail(failedForNow(503, "The node has no room for the response"));
    } catch {
      // An exception must not reach the connection that reads answers.
      this.#request.destroy();
    }
  }

  #respond(found: FunctionResponse, { settings }: BookedRoute): void {
    const response = this.#response;
    const { body } = found;
    let hasType = false;
    for (const [name, value] of found.headers) {
      const key = name.toLowerCase();
      hasType ||= key === "content-type";
      // The configuration of the route says which origins may read it.
      if (settings.cors === undefined || key !== "access-control-allow-origin")
        response.appendHeader(name, value);
    }
    // Browsers must not guess what a function has returned.
    if (!hasType && body.length > 0) response.setHeader("Content-Type", "application/octet-stream");
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.statusCode = found.status;
    // No length belongs to the statuses that have no body.
    if (found.status !== 204 && found.status !== 304) response.setHeader("Content-Length", body.length);
    this.#end(body);
  }

  /** Answers without a function. */
  fail({ status, text, headers }: FailedResponse): void {
    const response = this.#response;
    if (this.#isDone || response.headersSent) return;
    const body = Buffer.from(`${text} (request ${this.#id})\n`);
    response.statusCode = status;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.setHeader("Content-Type", "text/plain; charset=utf-8");
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("X-Request-Id", this.#id);
    response.setHeader("Content-Length", body.length);
    this.#end(body);
    if (!this.#request.complete) this.#linger();
  }

  #end(body: Buffer): void {
    const response = this.#response;
    response.end(body);
    if (response.writableLength === 0) return;
    const timer = setTimeout(() => this.#request.socket.destroy(), responseTimeMs);
    timer.unref();
    response.once("close", () => clearTimeout(timer));
  }

  /** Reads on for a moment: a client that still sends would see a reset in place of the response. */
  #linger(): void {
    const request = this.#request;
    request.resume();
    const timer = setTimeout(() => {
      if (!request.complete) request.socket.destroy();
    }, lingerMs);
    timer.unref();
  }
}
