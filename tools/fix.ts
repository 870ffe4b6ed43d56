/** Formats all files and mends what the linter can mend by itself. */
import { fileURLToPath } from "node:url";
import { fixLint } from "./check/programs.ts";

const { ok, output } = await fixLint(fileURLToPath(new URL("..", import.meta.url)));
console.log(output);
process.exitCode = ok ? 0 : 1;
