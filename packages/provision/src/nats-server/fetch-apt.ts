import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { FetchFailure, lastLine } from "../fetch-failure.ts";
import { type ProgramResult, runProgram } from "../run-program.ts";
import type { FetchContext, FetchWay } from "./fetch-way.ts";

const updateTimeoutMs = 120_000;
const downloadTimeoutMs = 120_000;
const unpackTimeoutMs = 60_000;

/**
 * Takes the program out of Debian's package. The package itself is not installed: that would start a service that
 * holds port 4222, and it would need root.
 */
export function fetchByApt(): FetchWay {
  return {
    title: "Fetching the nats-server package of the system with apt-get",
    async fetch(context: FetchContext): Promise<string> {
      const { folder, env, signal } = context;
      let downloaded = await aptDownload(context);
      if (!downloaded.ok && process.getuid?.() === 0 && downloaded.state !== "is not installed") {
        await runProgram("apt-get", ["update", "-qq"], { timeoutMs: updateTimeoutMs, env, signal });
        downloaded = await aptDownload(context);
      }
      if (!downloaded.ok) throw new FetchFailure(`apt-get ${downloaded.state}${lastLine(downloaded.output)}`);
      const archive = (await readdir(folder)).find((name) => name.endsWith(".deb"));
      if (archive === undefined) throw new FetchFailure("apt-get has brought no package");
      const unpackArgs = ["--extract", join(folder, archive), folder];
      const unpacked = await runProgram("dpkg-deb", unpackArgs, { timeoutMs: unpackTimeoutMs, env, signal });
      if (!unpacked.ok) throw new FetchFailure(`dpkg-deb ${unpacked.state}`);
      const path = ["sbin", "bin"]
        .map((name) => join(folder, "usr", name, "nats-server"))
        .find((at) => existsSync(at));
      if (path === undefined)
        throw new FetchFailure("the package has no nats-server in /usr/sbin or /usr/bin");
      return path;
    },
  };
}

function aptDownload({ folder, env, signal }: FetchContext): Promise<ProgramResult> {
  const options = { timeoutMs: downloadTimeoutMs, cwd: folder, env, signal };
  return runProgram("apt-get", ["download", "-qq", "nats-server"], options);
}
