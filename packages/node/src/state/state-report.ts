/** A readable report of a state directory, also while a node uses it. Nothing is locked, changed or opened in it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { parseJson } from "@nexengine/protocol/formats";
import { deployRequestSchema } from "@nexengine/protocol/messages";
import { decodeClaims } from "@nexengine/protocol/tokens";
import { type DeployRecord, DeployRecords } from "./deploy-records.ts";
import { readIfThere } from "./files.ts";
import { MachineRecords } from "./machine-records.ts";

/** A recorded workload. */
export interface RecordedWorkload {
  id: string;
  namespace: string;
  name: string;
  type: string;
  /** Public key. */
  issuer: string;
  /** ISO 8601. */
  accepted: string;
  restarts: number;
  artifact: { sha256: string; bytes: number };
  published: DeployRecord["published"];
  /** Machines that run it, or ran it when the node ended. */
  machines: { id: string; driver: string }[];
}

/** A state directory. */
export interface StateReport {
  directory: string;
  /** Process id of the node that uses it, or of the last one if that was killed. */
  pid?: number;
  workloads: RecordedWorkload[];
  unreadable: { id: string; reason: string }[];
}

/** @throws NexError `state_unusable` when it is no state directory, or is unreadable. */
export async function readState(directory: string): Promise<StateReport> {
  const deploys = new DeployRecords(join(directory, "deploys"));
  try {
    await readdir(deploys.path);
  } catch (cause) {
    throw new NexError(
      "state_unusable",
      `Cannot read the state directory "${directory}": ${errorText(cause)}`,
      {
        cause,
        advice: "Name the directory of a node with: --state-directory DIR",
      },
    );
  }
  const { records, unreadable } = await deploys.read();
  const machines = Map.groupBy(
    await new MachineRecords(join(directory, "records")).read(),
    ({ workload_id }) => workload_id ?? "",
  );
  const pid = Number(await readIfThere(join(directory, "nex.pid")));
  return {
    directory,
    ...(pid > 0 ? { pid } : {}),
    workloads: records.map((record) => ({
      ...describe(record),
      machines: (machines.get(record.id) ?? []).map(({ id, driver }) => ({ id, driver })),
    })),
    unreadable,
  };
}

function describe(record: DeployRecord): Omit<RecordedWorkload, "machines"> {
  const { id, namespace, artifact, published, restarts, accepted_ms } = record;
  const common = {
    id,
    namespace,
    artifact,
    published,
    restarts,
    accepted: new Date(accepted_ms).toISOString(),
  };
  try {
    const request = parseJson(Buffer.from(record.request, "base64"), deployRequestSchema, "record");
    const { sub, iss } = decodeClaims(request.workload_jwt ?? "");
    return { ...common, name: sub, issuer: iss, type: request.type ?? "" };
  } catch {
    return { ...common, name: "", issuer: "", type: "" };
  }
}
