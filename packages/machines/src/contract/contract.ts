import { suite } from "node:test";
import type { Driver } from "../driver.ts";
import type { DriverAbilities, Subject } from "./abilities.ts";
import { adoptionCases } from "./cases/adoption.ts";
import { attachCases } from "./cases/attach.ts";
import { bootCases } from "./cases/boot.ts";
import { channelCases } from "./cases/channels.ts";
import { destroyCases } from "./cases/destroy.ts";
import { exitCases } from "./cases/exit.ts";
import { leakCases } from "./cases/leaks.ts";
import { limitCases } from "./cases/limits.ts";
import { networkCases } from "./cases/network.ts";
import { nodeDeathCases } from "./cases/node-death.ts";
import { stopCases } from "./cases/stop.ts";

/** Registers the cases that every driver passes. Each uses machines of its own, and destroys them when it fails too. */
export function driverContract(name: string, makeDriver: () => Driver, abilities: DriverAbilities): void {
  const subject: Subject = { driver: makeDriver(), abilities };
  const timeout = abilities.bootTimeoutMs * 10 + 120_000;
  suite(`${name} driver contract`, { timeout }, () => {
    bootCases(subject);
    attachCases(subject);
    channelCases(subject);
    exitCases(subject);
    stopCases(subject);
    destroyCases(subject);
    leakCases(subject);
    limitCases(subject);
    networkCases(subject);
    nodeDeathCases(subject);
    adoptionCases(subject);
  });
}
