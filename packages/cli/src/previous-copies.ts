/** Copies of a workload that ran before the one that is deployed now. */
import type { NexClient, WorkloadAt, WorkloadDetails, WorkloadLimits } from "@nexengine/client";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { Signer } from "@nexengine/protocol/tokens";
import { note, visible } from "./output.ts";

type PublishedPorts = NonNullable<WorkloadLimits["publish"]>;
type Holder = WorkloadDetails & { port: number };

export class PreviousCopies {
  readonly #client: NexClient;
  readonly #issuer: Signer;
  readonly #found: Promise<readonly WorkloadDetails[]>;
  readonly #stopped = new Set<string>();

  /** @param found Those of the name; asked for when the others are needed. */
  constructor(client: NexClient, issuer: Signer, found: Promise<readonly WorkloadDetails[]>) {
    this.#client = client;
    this.#issuer = issuer;
    this.#found = found;
  }

  /** Ids of those that have been stopped. */
  get stopped(): readonly string[] {
    return [...this.#stopped];
  }

  /** Previous copies that run beside the new copy. */
  async left({ id: newest, replaced }: WorkloadAt & { replaced?: string }): Promise<WorkloadDetails[]> {
    return (await this.#found).filter(({ id }) => id !== newest && id !== replaced && !this.#stopped.has(id));
  }

  /** Copies that hold one of the host's ports. */
  async holding(ports: PublishedPorts): Promise<Holder[]> {
    const wanted = new Set(ports.map(({ hostPort }) => hostPort));
    return (await this.#found).flatMap((copy) => {
      const port = copy.nex?.published?.find(({ host_port }) => wanted.has(host_port))?.host_port;
      return port === undefined ? [] : [{ ...copy, port }];
    });
  }

  /** @throws NexError when it can't be stopped */
  async stop(workloadId: string, nodeId: string, name: string): Promise<void> {
    await this.#client.stop({ nodeId, workloadId, name, issuer: this.#issuer });
    this.#stopped.add(workloadId);
  }

  /** Stops all but the new one; what can't be stopped is told. */
  async stopAll(newest: WorkloadAt & { replaced?: string }): Promise<void> {
    for (const { id, nodeId, workload } of await this.left(newest)) {
      try {
        await this.stop(id, nodeId, workload.name);
        note(visible(`Replaced the previous copy ${id}`));
      } catch (error) {
        if (error instanceof NexError && error.code === "no_such_workload") continue;
        note(visible(`Left the previous copy ${id} running: ${errorText(error)}`));
      }
    }
  }
}
