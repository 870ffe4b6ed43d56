/** Readers of option values, for commander. */
import { InvalidArgumentError } from "commander";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A duration as people write it: `750ms`, `2s`, `1m30s`. @returns milliseconds. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text) {
    throw new InvalidArgumentError(`A duration looks like 750ms, 2s or 1m30s.`);
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ""] ?? 0), 0);
}

/** The values of an option that can be repeated, in their order. */
export function collect(value: string, former: string[]): string[] {
  return [...former, value];
}

/** A whole number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("It must be a whole number above 0.");
}
