/** The host services of one function: methods, owner, and limits. */
import type { NatsConnection } from "@nats-io/nats-core";
import { HostMethod, type HostReply } from "@nexengine/protocol/agent";
import type { Share } from "../budget/quota.ts";
import type { AddressRules } from "./addresses.ts";
import { HttpService } from "./http.ts";
import { KeyValueService } from "./key-value.ts";
import { MessagingService } from "./messaging.ts";
import { ObjectStoreService } from "./object-store.ts";
import { AnswerRoom, failureOf, type Method, type Owner, ServiceError } from "./service.ts";
import type { HostServiceSettings } from "./settings.ts";

/** Maximum number of open calls of one function. */
const openCallsMax = 64;
/** Maximum time of any call, whatever its own limits. */
const callTimeMsMax = 65_000;

/** Connections of host services. */
export interface HostServiceConnections {
  buckets: NatsConnection;
  messages: NatsConnection;
}

/** Options for the host services of a function. */
export interface HostServicesOptions {
  owner: Owner;
  connections: HostServiceConnections;
  settings: HostServiceSettings;
  /** Denied subjects, besides those that are always denied. */
  deniedSubjects: readonly string[];
  addressRules: AddressRules;
  /** The function's share of the budget for the bytes of answers. It is closed with the services. */
  held: Share;
  /** The function's share of the node's sockets. It is closed with the services. */
  sockets: Share;
}

export class HostServices {
  readonly #methods: ReadonlyMap<number, Method>;
  readonly #held: Share;
  readonly #sockets: Share;
  #open = 0;
  #ended = false;

  constructor({
    owner,
    connections: { buckets, messages },
    settings,
    deniedSubjects,
    addressRules,
    held,
    sockets,
  }: HostServicesOptions) {
    this.#held = held;
    this.#sockets = sockets;
    const methods = new Map<number, Method>();
    const add = (name: string, enabled: boolean, entries: readonly (readonly [number, Method])[]): void => {
      for (const [method, run] of entries) methods.set(method, enabled ? run : disabled(name));
    };
    const kv = new KeyValueService(buckets, owner, bucketOf(settings.kv.config));
    add("kv", settings.kv.enabled, [
      [HostMethod.kvGet, kv.get],
      [HostMethod.kvSet, kv.set],
      [HostMethod.kvDelete, kv.delete],
      [HostMethod.kvKeys, kv.keys],
    ]);
    const bucket = bucketOf(settings.objectstore.config);
    const objects = new ObjectStoreService(buckets, owner, bucket);
    add("objectStore", settings.objectstore.enabled, [
      [HostMethod.objectGet, objects.get],
      [HostMethod.objectPut, objects.put],
      [HostMethod.objectDelete, objects.delete],
      [HostMethod.objectList, objects.list],
    ]);
    const messaging = new MessagingService(messages, deniedSubjects, {
      requestTimeoutMs: settings.messaging.config.request_timeout_ms,
      requestManyTimeoutMs: settings.messaging.config.request_many_timeout_ms,
    });
    add("messaging", settings.messaging.enabled, [
      [HostMethod.publish, messaging.publish],
      [HostMethod.request, messaging.request],
      [HostMethod.requestMany, messaging.requestMany],
    ]);
    const http = new HttpService(addressRules, settings.http.config.timeout_ms, sockets);
    add("http", settings.http.enabled, [[HostMethod.http, http.send]]);
    this.#methods = methods;
  }

  /** Answers a call. Never rejects. */
  readonly call = async (method: number, args: readonly Buffer[]): Promise<HostReply> => {
    let timer: NodeJS.Timeout | undefined;
    const room = new AnswerRoom(this.#held);
    try {
      const run = this.#methods.get(method);
      if (run === undefined)
        throw new ServiceError(404, `this node has no host service with the number ${method}`);
      if (this.#ended) throw new ServiceError(503, "the function was stopped");
      if (this.#open >= openCallsMax)
        throw new ServiceError(429, `${openCallsMax} calls of host services are open`);
      this.#open++;
      const late = new Promise<never>((_, reject) => {
        const error = new ServiceError(408, `no answer within ${callTimeMsMax} ms`);
        timer = setTimeout(reject, callTimeMsMax, error);
      });
      const running = run(args, room).finally(() => {
        this.#open--;
        // The answer counts as unsent bytes of the machine from here on.
        room.giveBack();
      });
      return await Promise.race([running, late]);
    } catch (error) {
      return failureOf(error);
    } finally {
      clearTimeout(timer);
    }
  };

  /** Refuses all further calls. */
  end(): void {
    this.#ended = true;
    this.#held.close();
    this.#sockets.close();
  }
}

function disabled(name: string): Method {
  return async () => {
    throw new ServiceError(404, `the host service ${name} is switched off on this node`);
  };
}

function bucketOf({ bucket_name, max_bytes, jit_provision }: HostServiceSettings["kv"]["config"]): {
  bucketName: string;
  maxBytes: number;
  provision: boolean;
} {
  return { bucketName: bucket_name, maxBytes: max_bytes, provision: jit_provision };
}
