/**
 * Both contracts on a real Firecracker and jailer. Where KVM does not work, which is nearly everywhere in CI, they run in
 * an emulated host; in `npm test` a few cases of the driver contract, in `npm run test:firecracker` all of both.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type EmulatedRun,
  type FirecrackerPlace,
  prepareFirecrackerPlace,
  runInEmulatedHost,
  scriptInFirecrackerPlace,
} from "@nexengine/testing/internal";

const isLong = process.env["NEX_TEST_FIRECRACKER"] === "long";
const tries = 3;
const shortTimeoutMs = 180_000;
const longTimeoutMs = 1_800_000;
/** Of the short form: boot, copies, both channels, the end, and another node. */
const shortCases = [
  "answers over the frames",
  "copies of a machine",
  "carry 64 KiB both ways",
  "status 7",
  "kills a guest that ignores",
  "recover finds a running machine",
  "100 bytes that its node",
];

const directory = await mkdtemp(join(tmpdir(), "nex-fc-"));
const place = await prepareFirecrackerPlace(directory, isLong);
const lack = "lack" in place ? place.lack : "";
const mayBeMissing = !isLong || process.env["NEX_TEST_ALLOW_MISSING"] === "1";
test.after(() => rm(directory, { recursive: true, force: true }));

/** The emulation stalls or fails a boot once in a while, which is no finding; three times in a row are one. */
async function runTests(
  { packages, files, links, version }: FirecrackerPlace,
  pattern: string,
  args: string[],
): Promise<string> {
  const timeoutMs = isLong ? longTimeoutMs : shortTimeoutMs;
  let last: EmulatedRun | undefined;
  for (let attempt = 1; attempt <= tries; attempt++) {
    const command = scriptFor(pattern, args);
    last = await runInEmulatedHost({
      packages,
      files,
      links,
      command,
      timeoutMs,
      onOutput: (text) => process.stdout.write(text),
    });
    if (last.status === 0) break;
    console.log(
      `The emulated host has ended with ${last.status ?? "no word"} (attempt ${attempt} of ${tries})`,
    );
  }
  const { status, output = "", console: words = "" } = last ?? {};
  assert.equal(status, 0, `${output.slice(-20_000)}\n${words.slice(-4_000)}`);
  const [, passed = "0"] = /^. pass (\d+)$/m.exec(output) ?? [];
  assert.ok(Number(passed) > 0, "no case has run");
  return `${passed} cases ran on Firecracker ${version}, in an emulated host`;
}

function scriptFor(file: string, args: string[]): string {
  const quoted = args.map((arg) => `"${arg}"`).join(" ");
  const command = `--test --test-reporter=spec --test-timeout=600000 ${quoted} ${file}`;
  return `export NEX_TEST_FIRECRACKER=long${scriptInFirecrackerPlace(command)}`;
}

const driverFile = "packages/machines/src/firecracker/driver.test.ts";
const skip = "lack" in place && mayBeMissing ? { skip: lack } : {};

test("the driver contract holds on Firecracker", {
  ...skip,
  timeout: tries * longTimeoutMs,
}, async (context) => {
  assert.ok(!("lack" in place), lack);
  const patterns = isLong ? [] : [`--test-name-pattern=${shortCases.join("|")}`];
  context.diagnostic(await runTests(place, driverFile, patterns));
});

test("the machine contract holds on Firecracker", {
  ...skip,
  ...(isLong ? {} : { skip: "it takes minutes: npm run test:firecracker" }),
  timeout: tries * longTimeoutMs,
}, async (context) => {
  assert.ok(!("lack" in place), lack);
  context.diagnostic(await runTests(place, "test/machines-firecracker.test.ts", []));
});
