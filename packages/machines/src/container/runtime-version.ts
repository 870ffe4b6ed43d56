/**
 * Is an OCI runtime too old? Only `runc` is judged, whose escapes are known. Distributions mend old versions and keep
 * their number, so a version with a distribution's mark is not refused for its number: its changelog decides.
 */
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { runProgram } from "../host/run-program.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";

const versionTimeoutMs = 5_000;
const changelogBytesMax = 8_388_608;
/** CVE-2024-21626: a process in a container reaches the host's files by a descriptor that runc leaked. */
const mendedIn = "1.1.12";
const mendedName = "CVE-2024-21626";
/** What a distribution adds to the number of a version, such as `+ds1-1+deb12u1`, `-0ubuntu1` or `.el9`. */
const distributionMark = /[+~]|-\d|\.(?:el|fc|amzn)\d/;

/** What a runtime says of itself. */
export interface RuntimeVersion {
  /** As the runtime has it, such as `1.1.5+ds1`. */
  version: string;
  /** Marked by a distribution, also where only the line of the commit has the mark. */
  distribution: boolean;
}

/** What is thought of a runtime: why it can't be used, or what a person should know of it. */
export interface RuntimeVerdict {
  unmetRequirement?: UnmetRequirement;
  note?: string;
}

/** Reads the output of `runc --version`; `undefined` for another program's. */
export function parseRuntimeVersion(output: string): RuntimeVersion | undefined {
  const version = /^runc version (\d+\.\d+\.\d+\S*)/m.exec(output)?.[1];
  if (version === undefined) return undefined;
  const commit = /^commit: (\S+)/m.exec(output)?.[1] ?? "";
  // A commit of runc's own is a describing name such as `v1.1.5-0-gf19387a6`.
  const packaged = commit.startsWith("v") || /^[0-9a-f]{7,40}$/.test(commit) ? "" : commit;
  const marks = version.replace(/^\d+\.\d+\.\d+(?:-rc\.?\d+)?/, "");
  return { version, distribution: distributionMark.test(marks) || distributionMark.test(packaged) };
}

/**
 * Judges a version.
 *
 * @param changelog The distribution's, where the host has it.
 */
export function judgeRuntime(
  { version, distribution }: RuntimeVersion,
  changelog: string | undefined,
): RuntimeVerdict {
  if (!isOlder(version, mendedIn)) return {};
  const advice = `Update it: apt-get install --only-upgrade runc, or install runc ${mendedIn} or later`;
  const old = `runc ${version} is older than ${mendedIn}`;
  const danger = `machines could leave it by ${mendedName}`;
  if (!distribution) return { unmetRequirement: { reason: `${old}: ${danger}`, advice } };
  if (changelog === undefined)
    return { note: `${old}; its distribution may have mended ${mendedName}, which can't be seen here` };
  if (changelog.includes(mendedName))
    return { note: `${old}, with ${mendedName} mended by its distribution` };
  return {
    unmetRequirement: { reason: `${old}, and its changelog does not name a mend: ${danger}`, advice },
  };
}

/** Asks a runtime for its version, and judges it. One that says nothing of itself is left to the trial of a machine. */
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

/** Compares numbers of versions; a candidate for a release is older than the release. */
function isOlder(version: string, least: string): boolean {
  const numbers = (text: string): number[] => text.split(/[^\d]/, 3).map(Number);
  const [ours, wanted] = [numbers(version), numbers(least)];
  for (const [at, number] of wanted.entries()) {
    const own = ours[at] ?? 0;
    if (own !== number) return own < number;
  }
  return /^\d+\.\d+\.\d+-rc/.test(version);
}
