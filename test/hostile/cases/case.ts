/** What a hostile case is. */
import type { WorkloadLimits } from "@nexengine/client";
import type { DeedName } from "../agent/deeds.ts";
import type { Attack } from "../support/attack.ts";
import type { Place } from "../support/place.ts";

export type Check = (attack: Attack) => Promise<void>;

/** What the guide says of a case, and whether it is true is what the tests find out. */
interface Told {
  name: string;
  /** What it does, in the words of the guide. */
  technique: string;
  /** What must come of it in a container. */
  outcome: string;
  /** What must come of it in a microVM, where it is something else. */
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

/** The agent itself is hostile, see agent/deeds.ts: as if a workload had taken its place. */
export interface AgentCase extends Told {
  kind: "agent";
  deed: DeedName;
  /** What is deployed to it; a service when absent. */
  deployed?: "function";
}

export type HostileCase = ServiceCase | FunctionCase | WasmCase | AgentCase;
