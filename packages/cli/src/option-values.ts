/** Readers of option values, for commander. */
import { type Command, InvalidArgumentError, Option } from "commander";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A duration as people write it: `750ms`, `2s`, `1m30s`. @returns milliseconds. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text) {
    throw new InvalidArgumentError(`A duration looks like 750ms, 2s or 1m30s.`);
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ""] ?? 0), 0);
}

const msPerDay = 86_400_000;

/** A time, or how long ago it was: `10m`, `7d`, `2026-01-31T12:00:00Z`. */
export function pastTime(text: string): Date {
  const [, days, rest = text] = /^(\d{1,5})d(.*)$/.exec(text) ?? [];
  const isTime = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d|$)/.test(text) && !Number.isNaN(Date.parse(text));
  if (isTime) return new Date(text);
  try {
    const ms = Number(days ?? 0) * msPerDay + (days !== undefined && rest === "" ? 0 : parseDuration(rest));
    if (Number.isSafeInteger(Math.ceil(ms))) return new Date(Date.now() - Math.min(ms, Date.now()));
  } catch {
    // It is neither.
  }
  throw new InvalidArgumentError("It looks like 10m, 2h, 7d, or 2026-01-31T12:00:00Z.");
}

/** The values of an option that can be repeated, in their order. */
export function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

/** A whole number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("It must be a whole number above 0.");
}

/** A TCP port; 0 is any free one. */
export function port(text: string): number {
  const value = Number(text);
  if (/^\d{1,5}$/.test(text) && value <= 65_535) return value;
  throw new InvalidArgumentError("A port is a number from 0 to 65535.");
}

/** Adds `--name` and `--no-name`; the value is `undefined` where neither is given. */
export function addSwitch(command: Command, name: string, description: string, env?: string): Command {
  const positive = new Option(`--${name}`, description);
  return command
    .addOption(env === undefined ? positive : positive.env(env))
    .addOption(new Option(`--no-${name}`, `the opposite of --${name}`).hideHelp());
}

/** Adds an option that is taken for the sake of scripts and does nothing; no help shows it. */
export function addIdle(command: Command, flags: string): Command {
  return command.addOption(new Option(flags, "accepted, and does nothing").hideHelp());
}

/** A line for each option that was given and does nothing. */
export function idleWarnings(options: object, idle: readonly string[]): string[] {
  const given = new Map(Object.entries(options));
  return idle
    .filter((name) => given.get(name) !== undefined && given.get(name) !== false)
    .map((name) => `this version does not act on --${name}`);
}

/**
 * Removes what says nothing from the environment: variables of options that are empty, and switches that are off,
 * since commander takes a switch's variable as on whatever it holds.
 */
export function dropUnsetVariables(program: Command, env: NodeJS.ProcessEnv): void {
  for (const command of [program, ...program.commands]) {
    for (const option of command.options) {
      const value = option.envVar === undefined ? undefined : env[option.envVar];
      if (option.envVar === undefined || value === undefined) continue;
      const isOff = option.isBoolean() && /^(?:0|f|false|n|no|off)$/i.test(value);
      if (value === "" || isOff) delete env[option.envVar];
    }
  }
}
