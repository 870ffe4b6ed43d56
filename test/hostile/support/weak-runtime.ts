/** A runtime that leaves a defence out, to see that the cases notice. The product has no such switch. */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The parts of a bundle's configuration that defences are in. */
interface BundleConfig {
  root: { readonly: boolean };
  process: { noNewPrivileges: boolean; capabilities: Record<string, string[]> };
  mounts: { destination: string; options: string[] }[];
  linux: {
    namespaces: { type: string }[];
    resources: { memory?: object; cpu?: object; pids?: object };
    seccomp?: object;
    sysctl?: object;
    uidMappings?: object[];
    gidMappings?: object[];
  };
}

/** Takes a defence out of a configuration. It is written into a program, so it can use nothing else. */
export type Weakness = (config: BundleConfig) => void;

/**
 * Writes the program: it changes the bundle and runs runc.
 *
 * @param always Also for the machine with which a node tries the runtime out, and which must find it wanting.
 * @returns its path.
 */
export function writeWeakRuntime(directory: string, weakness: Weakness, always: boolean): string {
  const path = join(directory, "weak-runtime");
  const program = `#!${process.execPath}
const { readFileSync, writeFileSync } = require("node:fs");
const { spawnSync } = require("node:child_process");
const args = process.argv.slice(2);
const bundle = args[args.indexOf("--bundle") + 1];
if (args.includes("--bundle") && (${always} || !args.at(-1).startsWith("trial"))) {
  const config = JSON.parse(readFileSync(bundle + "/config.json", "utf8"));
  (${weakness.toString()})(config);
  writeFileSync(bundle + "/config.json", JSON.stringify(config));
}
process.exit(spawnSync("runc", args, { stdio: "inherit" }).status ?? 1);
`;
  writeFileSync(path, program);
  chmodSync(path, 0o755);
  return path;
}
