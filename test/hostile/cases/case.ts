/** A hostile case. */
import type { WorkloadLimits } from "@nexengine/client";
import type { ActionName } from "../agent/actions.ts";
import type { Attack } from "../support/attack.ts";
import type { Place } from "../support/place.ts";

export type Check = (attack: Attack) => Promise<void>;

/** The guide's text about a case; the tests find out whether it is true. */
interface Told {
  name: string;
  /** The technique, in the words of the guide. */
  technique: string;
  /** The required outcome in a container. */
  outcome: string;
  /** The required outcome in a microVM, where it differs. */
  inMicroVm?: { outcome: string; check: Check };
  /** Whether the process driver holds it too. */
  onProcess: "held" | "not isolated";
  /** It does no harm on the process driver, and shows there that the line above is true. */
  triedOnProcess?: boolean;
  limits?: WorkloadLimits;
  /** Takes longer than a second or so. */
  slow?: boolean;
  /** Throws when the outcome is another one. */
  check: Check;
}

/** A static executable that tries what its arguments say, see fixtures/attacker.c. */
export interface ServiceCase extends Told {
  kind: "service";
  argv(place: Place): string[];
}

export interface FunctionCase extends Told {
  kind: "function";
  source: string;
}

/** A function in Wasm. */
export interface WasmCase extends Told {
  kind: "wasm";
  module(): Promise<Uint8Array>;
}

/** The agent itself is hostile, see agent/actions.ts: as if a workload had taken its place. */
export interface AgentCase extends Told {
  kind: "agent";
  action: ActionName;
  /** The kind of workload that is deployed to it; a service when absent. */
  deployed?: "function";
}

export type HostileCase = ServiceCase | FunctionCase | WasmCase | AgentCase;
