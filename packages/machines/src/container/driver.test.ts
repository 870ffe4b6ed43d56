import { after } from "node:test";
import {
  containerDriverModule,
  driverContract,
  makeContainerDriver,
  orphansOfContainer,
  prepareContainers,
} from "@nexengine/testing/internal";

const containers = await prepareContainers();
after(() => containers[Symbol.asyncDispose]());

if (containers.unmetRequirement === undefined) {
  driverContract("container", makeContainerDriver, {
    bootTimeoutMs: 30_000,
    reattach: true,
    recover: true,
    enforces: ["memoryBytes", "vcpus", "processes", "diskBytes"],
    exitStatus: false,
    realGuest: true,
    endsWithNode: "none",
    driverModule: containerDriverModule,
    orphans: orphansOfContainer,
  });
}
