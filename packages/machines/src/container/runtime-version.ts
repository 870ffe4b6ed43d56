/**
 * Checks whether an OCI runtime is too old. Only `runc` is checked, because its escape vulnerabilities are known.
 * Distributions backport fixes without a new upstream version, so the changelog decides for their packages.
 */
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { runProgram } from "../host/run-program.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";

const versionTimeoutMs = 5_000;
const changelogBytesMax = 8_388_608;
/** CVE-2024-21626: a leaked descriptor gives a process in a container access to the host's files. */
const fixedIn = "1.1.12";
const fixedCve = "CVE-2024-21626";
/** Version suffix of a distribution, such as `+ds1-1+deb12u1`, `-0ubuntu1` or `.el9`. */
const distributionMark = /[+~]|-\d|\.(?:el|fc|amzn)\d/;

/** Version reported by a runtime. */
export interface RuntimeVersion {
  /** As printed by the runtime, such as `1.1.5+ds1`. */
  version: string;
  /** Whether a distribution built it. The mark may appear only in the commit line. */
  distribution: boolean;
}

/** Verdict on a runtime: an unmet requirement, or a note for the operator. */
export interface RuntimeVerdict {
  unmetRequirement?: UnmetRequirement;
  note?: string;
}

/** Parses the output of `runc --version`; `undefined` for another program. */
export function parseRuntimeVersion(output: string): RuntimeVersion | undefined {
  const version = /^runc version (\d+\.\d+\.\d+\S*)/m.exec(output)?.[1];
  if (version === undefined) return undefined;
  const commit = /^commit: (\S+)/m.exec(output)?.[1] ?? "";
  // Upstream commits look like `v1.1.5-0-gf19387a6`.
  const packaged = commit.startsWith("v") || /^[0-9a-f]{7,40}$/.test(commit) ? "" : commit;
  const marks = version.replace(/^\d+\.\d+\.\d+(?:-rc\.?\d+)?/, "");
  return { version, distribution: distributionMark.test(marks) || distributionMark.test(packaged) };
}

/**
 * Judges a version.
 *
 * @param changelog The distribution's changelog, if the host has it.
 */
export function judgeRuntime(
  { version, distribution }: RuntimeVersion,
  changelog: string | undefined,
): RuntimeVerdict {
  if (!isOlder(version, fixedIn)) return {};
  const advice = `Update it: apt-get install --only-upgrade runc, or install runc ${fixedIn} or later`;
  const old = `runc ${version} is older than ${fixedIn}`;
  const danger = `a workload could escape through ${fixedCve}`;
  if (!distribution) return { unmetRequirement: { reason: `${old}: ${danger}`, advice } };
  if (changelog === undefined)
    return { note: `${old}; its distribution may have fixed ${fixedCve}, but no changelog shows it` };
  if (changelog.includes(fixedCve)) return { note: `${old}, with ${fixedCve} fixed by its distribution` };
  return {
    unmetRequirement: { reason: `${old}, and its changelog does not list the fix: ${danger}`, advice },
  };
}

/** Runs a runtime with `--version` and judges the result. A runtime without a version is left to the boot probe. */
export async function judgeRuntimeProgram(program: string): Promise<RuntimeVerdict> {
  const { output, failure } = await runProgram(program, ["--version"], { timeoutMs: versionTimeoutMs });
  const found = failure === undefined ? parseRuntimeVersion(output) : undefined;
  return found === undefined ? {} : judgeRuntime(found, await readChangelog());
}

async function readChangelog(): Promise<string | undefined> {
  try {
    const packed = await readFile("/usr/share/doc/runc/changelog.Debian.gz");
    const text = await promisify(gunzip)(packed, { maxOutputLength: changelogBytesMax });
    return text.toString("utf8");
  } catch {
    return undefined;
  }
}

/** Compares version numbers. A release candidate is older than its release. */
function isOlder(version: string, least: string): boolean {
  const numbers = (text: string): number[] => text.split(/[^\d]/, 3).map(Number);
  const [ours, wanted] = [numbers(version), numbers(least)];
  for (const [at, number] of wanted.entries()) {
    const own = ours[at] ?? 0;
    if (own !== number) return own < number;
  }
  return /^\d+\.\d+\.\d+-rc/.test(version);
}
