import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { GlobalOptions } from "./global-options.ts";
import { createNodeLog } from "./node-log.ts";

const folder = mkdtempSync(join(tmpdir(), "nex-node-log-"));
const before = process.cwd();
process.chdir(folder);
after(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

test("createNodeLog: a file on a disk that was full says how many lines it lost, and goes on", {
  skip: !existsSync("/dev/full"),
}, async () => {
  symlinkSync("/dev/full", "nex.log");
  const options = { logger: ["file"], timeformat: "DateTime" } as unknown as GlobalOptions;
  await using node = createNodeLog(options, "info");
  node.log.info("lost");
  node.log.info("lost too");
  rmSync("nex.log");
  writeFileSync("nex.log", "");
  node.log.info("first");
  node.log.info("second");
  const text = readFileSync("nex.log", "utf8");
  assert.match(
    text,
    /^2 lines of the log could not be written\n\[INF\] [^\n]+ - first\n\[INF\] [^\n]+ - second\n$/,
  );
});
