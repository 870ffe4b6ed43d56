/** Formats all files, mends what the linter can mend by itself, and writes the reference pages. */
import { fileURLToPath } from "node:url";
import { fixLint } from "./check/programs.ts";
import { writePages } from "./reference.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
await writePages(root);
const { ok, output } = await fixLint(root);
console.log(output);
process.exitCode = ok ? 0 : 1;
