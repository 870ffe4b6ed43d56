/** Deploys of functions that count their calls, and short ways to call and see them. */
import type { Deployment, DeployOptions, NexClient } from "@nexengine/client";
import { createKey, curveKeyOfSeed, type MachineInfo } from "@nexengine/protocol";
import { newSigner } from "@nexengine/testing";

export const issuer = newSigner();
const publisher = curveKeyOfSeed(createKey("curve").seed);
/** Counts its calls for as long as its machine lives. */
export const counter = "let calls = 0; module.exports = () => ++calls;";

/** Deploys a counting function on the subject of its name, unless the options say otherwise. */
export async function deploy(
  client: NexClient,
  options: Partial<DeployOptions> & { name: string },
): Promise<Deployment> {
  return await client.deploy({
    type: "v8",
    issuer,
    publisher,
    artifact: { bytes: Buffer.from(counter) },
    ...(options.type === "native" ? {} : { triggerSubjects: [options.name] }),
    ...options,
  });
}

export async function call(client: NexClient, subject: string): Promise<string> {
  return Buffer.from((await client.call(subject, "")).data).toString();
}

/** The workloads of the only node. */
export async function workloads(client: NexClient): Promise<MachineInfo[]> {
  const [node] = await client.nodes();
  return node === undefined ? [] : (await client.info(node.node_id)).machines;
}
