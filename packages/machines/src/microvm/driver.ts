/** Base class of microVM drivers. */
import { DetachedDriver } from "../detached-driver.ts";
import type { MachineRecord, MachineSpec } from "../driver.ts";
import { demandEgress } from "../network/demand.ts";
import type { Egress } from "../network/egress.ts";
import type { MicroVm, Monitor } from "./machine.ts";
import { recoverMicroVm } from "./recover.ts";
import type { Templates } from "./templates.ts";

/** Base class of microVM drivers, which differ in their monitors. */
export abstract class MicroVmDriver extends DetachedDriver<MicroVm> {
  readonly rootKind = "image";
  protected abstract readonly monitor: Monitor;
  protected abstract readonly templates: Templates<unknown>;
  #pruned: Promise<void> | undefined;

  /** Removes the templates that machines are copied from. */
  async close(): Promise<void> {
    await this.templates.clear();
  }

  protected egress(): Egress {
    return this.monitor.egress;
  }

  protected async make(spec: MachineSpec): Promise<MicroVm> {
    await demandEgress(spec, this.monitor.egress);
    this.#pruned ??= this.monitor.egress.prune();
    await this.#pruned;
    return await this.templates.boot(spec);
  }

  protected async find(record: MachineRecord): Promise<MicroVm | undefined> {
    return await recoverMicroVm(this.monitor, record);
  }
}
