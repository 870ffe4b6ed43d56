import { after } from "node:test";
import { findProgram } from "../host/program.ts";
import { Egress } from "../network/egress.ts";
import { LabFixture } from "../network/lab-fixture.ts";
import { prepareContainers } from "./contract-driver.ts";
import { type ContainerDriverSettings, completeOptions } from "./options.ts";

/** Network lab for containers. */
export interface ContainerLab {
  fixture: LabFixture;
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
  const module = new URL("./contract-driver.ts", import.meta.url);
  return {
    fixture: new LabFixture({ kind: "container", module, bootTimeoutMs: 30_000 }),
    settings,
    unmetRequirement: unmet,
  };
}
