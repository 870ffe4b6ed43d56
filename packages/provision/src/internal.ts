/** The wider door for sibling packages: parts that fetch other programs in the same way. */
export { withCacheFolder } from "./cache.ts";
export { demandSha256 } from "./download.ts";
export * from "./mod.ts";
export { isProgram } from "./program.ts";
export { type ProgramOptions, type ProgramResult, runProgram } from "./run-program.ts";
export { unpackFiles } from "./unpack.ts";
