/** Lists all that a node and its machines have left on this host once they have ended. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { commandLineOf } from "@nexengine/testing";
import { entries, mounts, type Victim } from "../support/victim.ts";

/** Files of a state directory that stay when its node has stopped and nothing is deployed. */
const lasting = [/^identity\.json$/, /^state\.json$/, /^used-tokens\/\d+$/];
const cgroupRoot = "/sys/fs/cgroup";
const machineIdPattern = /^m[0-9a-f]{10}x\d+$/;

/** Remembers machines of a node, whose cgroups and processes can't be told from those of other nodes otherwise. */
export class Leftovers {
  readonly #victim: Victim;
  readonly #ids = new Set<string>();

  constructor(victim: Victim) {
    this.#victim = victim;
  }

  /** Remembers the machines that the node has now. */
  note(): void {
    for (const id of entries(join(this.#victim.directory, "machines"))) this.#ids.add(id);
  }

  /** All that is left of the machines, and the files that a stopped node does not keep. */
  find(): string[] {
    return [
      ...this.#victim.orphans(),
      ...this.#processes(),
      ...this.#cgroups(),
      ...this.#links(),
      ...this.#files(),
    ];
  }

  /** Processes that name the directory or a machine. */
  #processes(): string[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .map((pid) => ({ pid, command: commandLineOf(pid) }))
      .filter(({ command }) => command.includes(this.#victim.directory) || this.#names(command))
      .map(({ pid, command }) => `process ${pid} ${command.replaceAll("\0", " ").slice(0, 200)}`);
  }

  #names(text: string): boolean {
    return [...this.#ids].some((id) => text.includes(id));
  }

  #cgroups(): string[] {
    const found: string[] = [];
    for (const controller of ["", ...entries(cgroupRoot)]) {
      for (const parent of entries(join(cgroupRoot, controller)).filter((name) => name.startsWith("nex-"))) {
        const path = join(cgroupRoot, controller, parent);
        found.push(
          ...entries(path)
            .filter((id) => machineIdPattern.test(id) && this.#ids.has(id))
            .map((id) => join(path, id)),
        );
      }
    }
    return found.map((path) => `cgroup ${path}`);
  }

  /** Sockets below the directory, network devices of machines, and mounts. */
  #links(): string[] {
    const sockets = readFileSync("/proc/net/unix", "utf8").split("\n");
    return [
      ...sockets.filter((line) => line.includes(this.#victim.directory)).map((line) => `socket ${line}`),
      ...entries("/sys/class/net")
        .filter((name) => this.#names(name))
        .map((name) => `network device ${name}`),
      ...mounts().filter((line) => line.includes(`${this.#victim.directory}/`) || this.#names(line)),
    ];
  }

  #files(): string[] {
    const { directory } = this.#victim;
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
      .filter((path) => !lasting.some((pattern) => pattern.test(path)))
      .map((path) => `file ${path}`);
  }
}
