/** Fuzzes decoders, guided by the code that their inputs reach. */
import { NexError } from "../../packages/protocol/src/errors.ts";
import { Coverage } from "./coverage.ts";
import { mutate, Random } from "./mutate.ts";
import type { Target } from "./targets.ts";

/** An input may take so long. */
const runMsMax = 1_000;
const batch = 64;
const inputsMax = 512;
/** Maximum number of finds of one decoder; more would be variants of the same. */
const findsMax = 8;

/** Result of one decoder. */
export interface FuzzResult {
  name: string;
  executions: number;
  /** Inputs that reached something new. */
  inputs: number;
  finds: { why: string; input: Buffer }[];
}

/** How long to go on: until a time, or a number of executions, whichever comes first. */
export interface FuzzBounds {
  untilMs: number;
  executionsMax: number;
  seed: number;
}

/** Fuzzes one decoder after the other within its share of the time. */
export async function fuzz(
  targets: readonly Target[],
  bounds: FuzzBounds,
  done: (result: FuzzResult) => void = () => undefined,
): Promise<{ results: FuzzResult[]; blocks: number }> {
  using coverage = await Coverage.start();
  const results: FuzzResult[] = [];
  for (const [at, target] of targets.entries()) {
    const left = bounds.untilMs - performance.now();
    const share = { ...bounds, untilMs: performance.now() + left / (targets.length - at) };
    const result = await fuzzOne(target, share, coverage);
    results.push(result);
    done(result);
  }
  return { results, blocks: coverage.blocks };
}

async function fuzzOne(target: Target, bounds: FuzzBounds, coverage: Coverage): Promise<FuzzResult> {
  const random = new Random(bounds.seed);
  const inputs = [...target.seeds];
  const result: FuzzResult = { name: target.name, executions: 0, inputs: 0, finds: [] };
  const run = (input: Buffer): void => {
    result.executions++;
    const why = tryOne(target, input);
    const known = why === undefined || result.finds.some((find) => find.why === why);
    if (!known && result.finds.length < findsMax) result.finds.push({ why, input });
  };
  for (const seed of inputs) run(seed);
  await coverage.take();
  while (result.executions < bounds.executionsMax && performance.now() < bounds.untilMs) {
    const mutants = Array.from({ length: batch }, () => mutate(inputs, random));
    for (const mutant of mutants) run(mutant);
    if (!(await coverage.take())) continue;
    // Something new was reached by one of them: the shortest is as good a guess as any, and all of them may go on.
    const fresh = mutants.toSorted((a, b) => a.length - b.length).slice(0, 8);
    inputs.push(...fresh);
    result.inputs += fresh.length;
    if (inputs.length > inputsMax) inputs.splice(target.seeds.length, inputs.length - inputsMax);
  }
  return result;
}

/** @returns what is wrong with how an input was taken. */
function tryOne(target: Target, input: Buffer): string | undefined {
  const startedAt = performance.now();
  try {
    target.run(Buffer.from(input));
  } catch (error) {
    if (!(error instanceof NexError)) {
      const place = error instanceof Error ? error.stack?.split("\n")[1]?.trim() : "";
      return `${String(error).slice(0, 200)} ${place}`;
    }
  }
  const tookMs = performance.now() - startedAt;
  return tookMs > runMsMax ? `it took longer than ${runMsMax} ms` : undefined;
}
