/** Attacks by somebody who may listen to control subjects, and publish on them, with the messages of others. */
import assert from "node:assert/strict";
import type { TestNexus } from "@nexengine/testing";
import { z } from "zod";

/** A request as it stood on the wire. */
export interface Captured {
  subject: string;
  body: Record<string, unknown>;
}

/** The request on a subject that `act` sends. */
export async function capture(
  nexus: TestNexus,
  subject: string,
  act: () => Promise<unknown>,
): Promise<Captured> {
  const { promise, resolve } = Promise.withResolvers<Captured>();
  const { connection } = nexus.client;
  const subscription = connection.subscribe(subject, {
    callback: (_, message) => resolve({ subject: message.subject, body: message.json() }),
  });
  try {
    await connection.flush();
    await act();
    return await promise;
  } finally {
    subscription.unsubscribe();
  }
}

const envelope = z.object({
  data: z.unknown(),
  error: z.string().optional(),
  nex: z.object({ code: z.string() }).optional(),
});
export type Answer = z.infer<typeof envelope>;

/** Sends a request as it is given, and gives the answer. */
export async function send(nexus: TestNexus, subject: string, body: object | string): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const reply = await nexus.client.connection.request(subject, text, { timeout: 20_000 });
  return envelope.parse(reply.json());
}

/** Sends a request that must be refused. @returns the code. */
export async function refusedCode(nexus: TestNexus, { subject, body }: Captured): Promise<string> {
  const { error, nex, data } = await send(nexus, subject, body);
  assert.ok(error !== undefined && data === "" && nex !== undefined, "it was accepted");
  return nex.code;
}

/** How many workloads run in the nexus' own namespace. */
export async function workloadCount(nexus: TestNexus): Promise<number> {
  return (await nexus.client.info(nexus.node.id)).machines.length;
}
