/**
 * How a case tells a machine what its agent is to do, before that has heard a word of its node: by the memory that it
 * asks for, which stands in the arguments of the agent's Node.
 */
import { type DeedName, deeds } from "./deeds.ts";

const mebibyte = 1_048_576;
const firstMebibytes = 256;
/** Three quarters of it are the heap's, in whole mebibytes. */
const stepMebibytes = 4;
const names = Object.keys(deeds) as DeedName[];

/** The memory that a case asks for. */
export function memoryBytesOf(name: DeedName): number {
  return (firstMebibytes + stepMebibytes * names.indexOf(name)) * mebibyte;
}

/** What the arguments of a Node say; `undefined` for a machine that was not chosen. */
export function deedOf(args: readonly string[]): DeedName | undefined {
  const heap = args.map((arg) => /^--max-old-space-size=(\d+)$/.exec(arg)?.[1]).find(Boolean);
  return names[((Number(heap) * 4) / 3 - firstMebibytes) / stepMebibytes];
}
