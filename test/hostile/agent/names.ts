/**
 * How a case tells a machine what its agent is to do, before that has heard a word of its node: by the memory that it
 * asks for, which stands in the arguments of the agent's Node.
 */
import { type ActionName, actions } from "./actions.ts";

const mebibyte = 1_048_576;
const firstMebibytes = 256;
/** Three quarters of it are the heap's, in whole mebibytes. */
const stepMebibytes = 4;
const names = Object.keys(actions) as ActionName[];

/** The memory that a case asks for. */
export function memoryBytesOf(name: ActionName): number {
  return (firstMebibytes + stepMebibytes * names.indexOf(name)) * mebibyte;
}

/** Reads the action from the arguments of a Node; `undefined` for a machine that was not chosen. */
export function actionOf(args: readonly string[]): ActionName | undefined {
  const heap = args.map((arg) => /^--max-old-space-size=(\d+)$/.exec(arg)?.[1]).find(Boolean);
  return names[((Number(heap) * 4) / 3 - firstMebibytes) / stepMebibytes];
}
