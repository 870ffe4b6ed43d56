/**
 * Fuzzes every decoder of what others send: `npm run fuzz -- --seconds 60 --seed 1`. Prints what was run, and fails
 * with the input, in base64, of each find.
 */
import { parseArgs } from "node:util";
import { type FuzzResult, fuzz } from "./fuzz/fuzz.ts";
import { targets } from "./fuzz/targets.ts";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } },
});
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const untilMs = performance.now() + Number(values.seconds) * 1_000;

const show = ({ name, executions, inputs, finds }: FuzzResult): void => {
  console.log(`${name.padEnd(28)} ${String(executions).padStart(9)} executions, ${inputs} inputs kept`);
  for (const { why, input } of finds) console.error(`  FOUND ${why}\n  input ${input.toString("base64")}`);
};
const { results, blocks } = await fuzz(
  targets,
  { untilMs, executionsMax: Number.POSITIVE_INFINITY, seed },
  show,
);
const executions = results.reduce((sum, result) => sum + result.executions, 0);
const megabytes = Math.round(process.memoryUsage().rss / 1e6);
console.log(`${executions} executions, ${blocks} blocks reached, ${megabytes} MB in the end, seed ${seed}`);
process.exitCode = results.some(({ finds }) => finds.length > 0) ? 1 : 0;
