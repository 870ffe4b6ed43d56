import { after } from "node:test";
import { driverContract } from "../contract/contract.ts";
import { makeDriver, orphansOf, prepareContainers } from "./contract-driver.ts";

const containers = await prepareContainers();
after(() => containers[Symbol.asyncDispose]());

if (containers.unmetRequirement === undefined) {
  driverContract("container", makeDriver, {
    bootTimeoutMs: 30_000,
    reattach: true,
    recover: true,
    enforces: ["memoryBytes", "vcpus", "processes", "diskBytes"],
    exitStatus: false,
    realGuest: true,
    endsWithNode: "none",
    driverModule: new URL("./contract-driver.ts", import.meta.url),
    orphans: orphansOf,
  });
}
