import type { MachineRecord } from "../driver.ts";
import type { MicroVm } from "./machine.ts";

/** The running machines that a driver has handed out, so that a second recovery finds the same object. */
export class HeldMachines {
  readonly #machines = new Map<string, MicroVm>();

  keep(machine: MicroVm): MicroVm {
    this.#machines.set(machine.id, machine);
    void machine.exited.then(() => {
      if (this.#machines.get(machine.id) === machine) this.#machines.delete(machine.id);
    });
    return machine;
  }

  async recover(
    { id }: MachineRecord,
    find: () => Promise<MicroVm | undefined>,
  ): Promise<MicroVm | undefined> {
    const held = this.#machines.get(id);
    if (held !== undefined) return held;
    const found = await find();
    return found && this.keep(found);
  }
}
