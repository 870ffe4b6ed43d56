import { suite } from "node:test";
import type { Driver } from "@nexengine/machines/internal";
import type { DriverAbilities, Subject } from "./abilities.ts";
import { adoptionCases } from "./cases/adoption.ts";
import { attachCases } from "./cases/attach.ts";
import { bootCases } from "./cases/boot.ts";
import { channelCases } from "./cases/channels.ts";
import { copyCases } from "./cases/copies.ts";
import { destroyCases } from "./cases/destroy.ts";
import { exitCases } from "./cases/exit.ts";
import { leakCases } from "./cases/leaks.ts";
import { limitCases } from "./cases/limits.ts";
import { networkCases } from "./cases/network.ts";
import { nodeDeathCases } from "./cases/node-death.ts";
import { stopCases } from "./cases/stop.ts";

/** Cases omitted from the short form: they need many boots and extend other cases. */
const longCases = [channelCases, stopCases, destroyCases, leakCases];
const everyCase = [
  ...[bootCases, attachCases, channelCases, exitCases, stopCases, destroyCases, leakCases],
  ...[copyCases, limitCases, networkCases, nodeDeathCases, adoptionCases],
];

/**
 * Registers the cases that every driver must pass. Each case uses its own machines and always destroys them.
 *
 * @param form `short` is for drivers whose boots take seconds, unless the full suite was requested.
 */
export function driverContract(
  name: string,
  makeDriver: () => Driver,
  abilities: DriverAbilities,
  form: "long" | "short" = "long",
): void {
  const subject: Subject = { driver: makeDriver(), abilities };
  const timeout = abilities.bootTimeoutMs * 10 + 120_000;
  suite(`${name} driver contract`, { timeout }, () => {
    for (const cases of everyCase) if (form === "long" || !longCases.includes(cases)) cases(subject);
  });
}
