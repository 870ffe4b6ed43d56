/** Announced routes as they are heard on a connection: one subscription and one parse for all who want them. */
import type { NatsConnection } from "@nats-io/nats-core";
import { parseJson } from "@nexengine/protocol/formats";
import {
  type RoutesAnnouncement,
  routesAnnouncementBytesMax,
  routesAnnouncementSchema,
} from "@nexengine/protocol/messages";
import { isNamespace, isWorkloadName, parseRoutesSubject, routesSubject } from "@nexengine/protocol/subjects";
import { LastingSubscription, subscribingConnection } from "../connections/lasting-subscription.ts";
import { AnnouncementRates } from "./announcement-rates.ts";

/** An announcement, and whose it is by its subject. */
export interface HeardRoutes {
  namespace: string;
  workloadName: string;
  announcement: RoutesAnnouncement;
  /** Size of the message. */
  bytes: number;
}

export type RoutesListener = (heard: HeardRoutes) => void;

/** Told when NATS refuses the subscription, and when it does not any more. */
export type RefusedListener = (isRefused: boolean) => void;

interface Feed {
  listeners: Map<RoutesListener, RefusedListener>;
  subscription: LastingSubscription;
}

const feeds = new WeakMap<NatsConnection, Map<string, Feed>>();

/**
 * Follows the announcements of a namespace, or of all by `*`. Messages that are none are ignored: whoever may publish can
 * send anything.
 *
 * @returns a function that ends this.
 */
export function followRoutes(
  connection: NatsConnection,
  namespace: string,
  listener: RoutesListener,
  refused: RefusedListener,
): () => void {
  const ofConnection = feeds.get(connection) ?? new Map<string, Feed>();
  feeds.set(connection, ofConnection);
  let feed = ofConnection.get(namespace);
  if (feed === undefined) {
    feed = open(connection, namespace);
    ofConnection.set(namespace, feed);
  }
  const { listeners, subscription } = feed;
  listeners.set(listener, refused);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0 || ofConnection.get(namespace)?.listeners !== listeners) return;
    ofConnection.delete(namespace);
    void subscription.drain().catch(() => undefined);
  };
}

function open(connection: NatsConnection, namespace: string): Feed {
  const listeners: Feed["listeners"] = new Map();
  const subject = routesSubject(namespace, "*");
  const rates = new AnnouncementRates();
  const take = (on: string, data: Uint8Array): void => {
    const heard = read(rates, on, data);
    if (heard === undefined) return;
    for (const listener of listeners.keys()) listener(heard);
  };
  const tell = (isRefused: boolean): void => {
    for (const refused of listeners.values()) refused(isRefused);
  };
  const subscription = new LastingSubscription(
    subscribingConnection(connection),
    subject,
    () => {
      const subscribed = connection.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) take(message.subject, message.data);
        },
      });
      return { drain: () => subscribed.drain(), drop: () => subscribed.unsubscribe() };
    },
    { refused: () => tell(true), back: () => tell(false) },
  );
  return { listeners, subscription };
}

function read(rates: AnnouncementRates, subject: string, data: Uint8Array): HeardRoutes | undefined {
  const about = parseRoutesSubject(subject);
  if (about === undefined || !isNamespace(about.namespace) || !isWorkloadName(about.workloadName))
    return undefined;
  if (!rates.takes(about.namespace, data.length, Date.now())) return undefined;
  try {
    const announcement = parseJson(
      data,
      routesAnnouncementSchema,
      "Cannot read announced routes",
      routesAnnouncementBytesMax,
    );
    return { ...about, announcement, bytes: data.length };
  } catch {
    return undefined;
  }
}
