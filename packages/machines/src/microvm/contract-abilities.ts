import type { DriverAbilities } from "../contract/abilities.ts";

/** Abilities of microVM drivers for the contract suite. */
export function microVmAbilities(
  own: Required<Pick<DriverAbilities, "driverModule" | "orphans">>,
): DriverAbilities {
  return {
    bootTimeoutMs: 180_000,
    reattach: true,
    recover: true,
    copies: true,
    enforces: ["memoryBytes", "vcpus", "processes", "diskBytes"],
    exitStatus: true,
    realGuest: true,
    endsWithNode: "none",
    ...own,
  };
}
