/** A node that does what a test tells it: honest unless its script says otherwise, silent, lying or late. */
import { connect, type Msg, type NatsConnection } from "@nats-io/transport-node";
import type { NexError } from "@nexengine/protocol/errors";
import { encodeFailure, encodeResponse, nodeFeatures, type ResponseKind } from "@nexengine/protocol/messages";
import { auctionSubject, nodeRequestWildcard, pingSubject } from "@nexengine/protocol/subjects";
import {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  decodeClaims,
  type Signer,
  signerOfSeed,
  signXkeyProof,
} from "@nexengine/protocol/tokens";

/** A JSON body as it stands on the wire. */
export type Body = Record<string, unknown>;

/** The node's answer to one kind of request: members over the honest ones, raw bytes, a failure, or nothing. */
export type Answer = Body | Uint8Array | NexError | "silence";

/** Deviations of the node; an absent member is the honest answer. */
export interface Script {
  /** `false`: as a Go node, without our additions. */
  extras?: Body | false;
  ping?: (node: ScriptedNode) => Answer;
  auction?: (node: ScriptedNode, request: Body) => Answer;
  info?: (node: ScriptedNode) => Answer;
  deploy?: (node: ScriptedNode, request: Body) => Answer;
  stop?: (node: ScriptedNode, request: Body) => Answer;
}

export class ScriptedNode implements AsyncDisposable {
  readonly signer: Signer = signerOfSeed(createKey("node").seed);
  readonly xkey: CurveKey = curveKeyOfSeed(createKey("curve").seed);
  readonly script: Script;
  /** The bodies that came, by kind. */
  readonly auctions: Body[] = [];
  readonly deploys: Body[] = [];
  readonly stops: Body[] = [];
  readonly #connection: NatsConnection;

  constructor(connection: NatsConnection, script: Script) {
    this.#connection = connection;
    this.script = script;
  }

  get id(): string {
    return this.signer.publicKey;
  }

  /** Members of an answer that only this version's nodes send, beyond those of Go Nex. */
  get extras(): Body {
    const proof = signXkeyProof(this.signer, this.xkey.publicKey, Date.now());
    return { version: 1, sandbox: "process", xkey_proof: proof, features: [...nodeFeatures] };
  }

  /** Subscribes; when this returns, the server knows. */
  async start(): Promise<void> {
    const { script } = this;
    const on = (subject: string, kind: ResponseKind, honest: () => Body, answer: (body: Body) => Answer) =>
      this.#connection.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) this.#reply(message, kind, honest(), answer(parse(message)));
        },
      });
    on(
      pingSubject,
      "ping",
      () => this.#bid(),
      () => script.ping?.(this) ?? {},
    );
    on(
      auctionSubject,
      "auction",
      () => this.#bid(),
      (request) => {
        this.auctions.push(request);
        return script.auction?.(this, request) ?? {};
      },
    );
    on(
      nodeRequestWildcard("INFO", this.id),
      "info",
      () => this.#info(),
      () => script.info?.(this) ?? {},
    );
    on(
      nodeRequestWildcard("DEPLOY", this.id),
      "run",
      () => ({ started: true, id: "dc2f2m1ksdudki293gng" }),
      (request) => {
        this.deploys.push(request);
        return script.deploy?.(this, request) ?? identity(request);
      },
    );
    on(
      nodeRequestWildcard("STOP", this.id),
      "stop",
      () => ({ stopped: true }),
      (request) => {
        this.stops.push(request);
        return script.stop?.(this, request) ?? { ...identity(request), id: request["workload_id"] };
      },
    );
    await this.#connection.flush();
  }

  #bid(): Body {
    return { node_id: this.id, target_xkey: this.xkey.publicKey, running_machines: 0, ...this.#facts() };
  }

  #info(): Body {
    return { public_xkey: this.xkey.publicKey, machines: [], ...this.#facts() };
  }

  #facts(): Body {
    const { extras = this.extras } = this.script;
    const facts = { version: "0", uptime: "1s", tags: { node_name: "scripted" } };
    return extras === false ? facts : { ...facts, nex: extras };
  }

  #reply(message: Msg, kind: ResponseKind, honest: Body, answer: Answer): void {
    if (answer === "silence") return;
    if (answer instanceof Uint8Array) message.respond(answer);
    else if (answer instanceof Error) message.respond(encodeFailure(kind, answer));
    else message.respond(encodeResponse(kind, { ...honest, ...answer }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}

/** Starts a node that joins a server; several may be started. */
export async function startScriptedNode(url: string, script: Script = {}): Promise<ScriptedNode> {
  const node = new ScriptedNode(await connect({ servers: [url] }), script);
  await node.start();
  return node;
}

function parse(message: Msg): Body {
  return message.data.length === 0 ? {} : message.json<Body>();
}

/** Issuer and name of a request's token. */
function identity(request: Body): Body {
  const { iss, sub } = decodeClaims(String(request["workload_jwt"]));
  return { issuer: iss, name: sub };
}
