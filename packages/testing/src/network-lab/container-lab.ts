import { after } from "node:test";
import {
  type ContainerDriverSettings,
  completeContainerOptions as completeOptions,
  Egress,
  findProgram,
} from "@nexengine/machines/internal";
import { driverModule, prepareContainers } from "../drivers/container.ts";
import { SharedLab } from "./shared-lab.ts";

/** Network lab for containers. */
export interface ContainerLab {
  lab: SharedLab;
  settings: ContainerDriverSettings;
  /** Why the lab can't run on this host; `undefined` if it can. */
  unmetRequirement: string | undefined;
}

/** @param programs Names of additional programs in the machines' rootfs. */
export async function prepareContainerLab(programs: readonly string[] = []): Promise<ContainerLab> {
  const found = await Promise.all(programs.map(findProgram));
  const containers = await prepareContainers(found.filter((path) => path !== undefined));
  after(() => containers[Symbol.asyncDispose]());
  const settings = completeOptions(containers.options);
  const { egressNetwork, stateDirectory } = settings;
  const unmet =
    containers.unmetRequirement ??
    (await new Egress(egressNetwork, stateDirectory).unmetRequirement())?.reason;
  if (unmet !== undefined) console.log(`Egress of containers is not tested: ${unmet}`);
  return {
    lab: new SharedLab({ kind: "container", module: driverModule, bootTimeoutMs: 30_000 }),
    settings,
    unmetRequirement: unmet,
  };
}
