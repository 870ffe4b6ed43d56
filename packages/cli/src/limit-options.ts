/** The options of a deploy that say what a workload may use. */
import type { WorkloadLimits } from "@nexengine/client";
import { type Command, InvalidArgumentError, Option } from "commander";
import { collect, parseDuration, positive } from "./option-values.ts";

/** The options as commander gives them. */
export interface LimitOptions {
  memory?: number;
  disk?: number;
  cpus?: number;
  processes?: number;
  logRate?: number;
  callTime?: number;
  network?: "none" | "nats" | "egress";
  allow: string[];
  publish: PublishedPort[];
}

type PublishedPort = NonNullable<WorkloadLimits["publish"]>[number];

const factors: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** A size as people write it: `512MiB`, `1.5GB`, `4096`. @returns bytes. */
export function parseBytes(text: string): number {
  const [, count, unit = ""] = /^(\d+(?:\.\d+)?)\s*(?:([kmgt]i?)b?|b)?$/i.exec(text.trim()) ?? [];
  const factor = factors[unit.toLowerCase()];
  const bytes = Math.round(Number(count) * (factor ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new InvalidArgumentError("A size looks like 512MiB, 1.5GB or 4096.");
}

function parseProcessors(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("It must be a number above 0, such as 0.5 or 2.");
}

/** `8080:80` is the host's port and the machine's; `80` leaves the host's to chance. */
export function parsePublish(text: string, previous: PublishedPort[]): PublishedPort[] {
  const [, hostText, machineText] = /^(?:(\d{1,5}):)?(\d{1,5})(?:\/tcp)?$/.exec(text) ?? [];
  const machinePort = Number(machineText);
  const hostPort = hostText === undefined ? undefined : Number(hostText);
  const fits = (port: number): boolean => port >= 1 && port <= 65_535;
  if (!fits(machinePort) || (hostPort !== undefined && !fits(hostPort))) {
    throw new InvalidArgumentError("A port looks like HOST:MACHINE, such as 8080:80, or MACHINE alone.");
  }
  return [...previous, { machinePort, ...(hostPort === undefined ? {} : { hostPort }) }];
}

/** Adds the options to a command that deploys. */
export function addLimitOptions(command: Command): Command {
  return command
    .option("--memory <size>", "memory of the machine, such as 512MiB", parseBytes)
    .option("--disk <size>", "what the workload can write, such as 100MiB", parseBytes)
    .option("--cpus <n>", "processors, such as 0.5", parseProcessors)
    .option("--processes <n>", "processes and threads together", positive)
    .option("--log-rate <size>", "log bytes a second", parseBytes)
    .option("--call-time <duration>", "time of one call of a function", parseDuration)
    .addOption(
      new Option(
        "--network <kind>",
        "what the workload reaches: nothing, NATS, or also what --allow lists",
      ).choices(["none", "nats", "egress"]),
    )
    .option("--allow <target>", "host:port to be reached with the network egress; repeatable", collect, [])
    .option(
      "--publish <port>",
      "HOST:MACHINE, a port of a service on its node; repeatable",
      parsePublish,
      [],
    );
}

/** The limits that the options say; `undefined` when they say nothing. */
export function limitsOf(options: LimitOptions): WorkloadLimits | undefined {
  // To list what may be reached is to ask for the network that reaches it.
  const network = options.network ?? (options.allow.length > 0 ? "egress" : undefined);
  const limits: WorkloadLimits = {
    ...(options.memory === undefined ? {} : { memoryBytes: options.memory }),
    ...(options.disk === undefined ? {} : { diskBytes: options.disk }),
    ...(options.cpus === undefined ? {} : { vcpus: options.cpus }),
    ...(options.processes === undefined ? {} : { processes: options.processes }),
    ...(options.logRate === undefined ? {} : { logBytesPerSecond: options.logRate }),
    ...(options.callTime === undefined ? {} : { callTimeMs: options.callTime }),
    ...(network === undefined ? {} : { network }),
    ...(options.allow.length === 0 ? {} : { egressAllow: options.allow }),
    ...(options.publish.length === 0 ? {} : { publish: options.publish }),
  };
  return Object.keys(limits).length === 0 ? undefined : limits;
}
