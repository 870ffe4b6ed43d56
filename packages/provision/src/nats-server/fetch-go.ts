import { join } from "node:path";
import { FetchFailure } from "../fetch-failure.ts";
import { runProgram } from "../run-program.ts";
import type { FetchContext, FetchWay } from "./fetch-way.ts";

const goTimeoutMs = 600_000;
const version = "2.15.2";

/** Compiles it from the published module; Go checks the content against its checksum database. */
export function fetchByGo(): FetchWay {
  return {
    title: `Compiling nats-server ${version} with go install`,
    async fetch({ folder, env, signal }: FetchContext): Promise<string> {
      const goEnv: NodeJS.ProcessEnv = { ...env, GOBIN: folder, CGO_ENABLED: "0" };
      // Without a home Go has no place for its modules; writable ones can be removed with the folder.
      if (!env.HOME && !env.GOPATH) {
        Object.assign(goEnv, {
          GOPATH: join(folder, "go"),
          GOCACHE: join(folder, "cache"),
          GOFLAGS: "-modcacherw",
        });
      }
      const target = `github.com/nats-io/nats-server/v2@v${version}`;
      const result = await runProgram("go", ["install", target], {
        timeoutMs: goTimeoutMs,
        env: goEnv,
        signal,
      });
      if (!result.ok) {
        const words = result.output.split("\n").slice(-3).join(" ").trim();
        throw new FetchFailure(`go ${result.state}${words === "" ? "" : ` (${words})`}`);
      }
      return join(folder, "nats-server");
    },
  };
}
