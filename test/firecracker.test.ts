/**
 * Both contracts, and some of the hostile workloads, on a real Firecracker and jailer. Where KVM does not work, which is
 * nearly everywhere in CI, they run in an emulated host; in `npm test` a few cases of the driver contract, in
 * `npm run test:firecracker` all of it. An emulated processor is too slow for floods, which are not held while they are
 * slower than what is allowed: all hostile workloads run where KVM works, with `npm run test:hostile`.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { agentBundlePath, compileC, echoService, probeService } from "@nexengine/testing";
import {
  type EmulatedRun,
  type FirecrackerPlace,
  prepareFirecrackerPlace,
  runInEmulatedHost,
  scriptInFirecrackerPlace,
} from "@nexengine/testing/internal";
import { buildHostileAgent } from "./hostile/support/agent-bundle.ts";

const isLong = process.env["NEX_TEST_FIRECRACKER"] === "long";
const tries = 2;
const shortTimeoutMs = 600_000;
const longTimeoutMs = 1_800_000;
/** Cases of the short form: boot, copies, both channels, the end, another node, and egress. */
const shortCases = [
  "answers over the frames",
  "copies of a machine",
  "carry 64 KiB both ways",
  "status 7",
  "kills a guest that ignores",
  "recover finds a running machine",
  "100 bytes ends when its node dies",
  "reach listed targets by TCP",
];

const directory = await mkdtemp(join(tmpdir(), "nex-fc-"));
const hostileAgent = isLong ? await buildHostileAgent(directory) : "";
const place = await prepareFirecrackerPlace(directory, isLong ? [agentBundlePath(), hostileAgent] : []);
const unmet = "unmetRequirement" in place ? place.unmetRequirement : "";
const mayBeMissing = !isLong || process.env["NEX_TEST_ALLOW_MISSING"] === "1";
test.after(() => rm(directory, { recursive: true, force: true }));

/** Programs for workloads, which an emulated host finds as if it had compiled them. */
async function workloadPrograms(): Promise<Record<string, string>> {
  const attacker = join(import.meta.dirname, "hostile/fixtures/attacker.c");
  const built = await Promise.all([compileC(attacker), echoService(), probeService()]);
  const paths = built.flatMap((program) => program?.path ?? []);
  return Object.fromEntries(paths.map((path) => [`/cache/nex/programs/${basename(path)}`, path]));
}

/** An emulated host may stall once, under a host that has no time for it; twice in a row is a finding. */
async function runTests(
  { packages, files, links, version }: FirecrackerPlace,
  testFiles: string,
  cases: readonly string[] = [],
): Promise<string> {
  const timeoutMs = isLong ? longTimeoutMs : shortTimeoutMs;
  const programs = isLong
    ? { ...(await workloadPrograms()), "/programs/hostile-agent.mjs": hostileAgent }
    : {};
  let last: EmulatedRun | undefined;
  for (let attempt = 1; attempt <= tries; attempt++) {
    const command = scriptFor(testFiles, cases);
    last = await runInEmulatedHost({
      packages,
      files: { ...files, ...programs },
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
  for (const name of cases) assert.match(output, new RegExp(`✔ .*${name}`));
  return `${passed} cases ran on Firecracker ${version}, in an emulated host`;
}

/** @param cases Parts of their names; all when there are none. */
function scriptFor(files: string, cases: readonly string[]): string {
  const pattern = cases.length === 0 ? "" : `"--test-name-pattern=${cases.join("|")}"`;
  const command = `--test --test-reporter=spec --test-timeout=600000 ${pattern} ${files}`;
  return `export NEX_TEST_FIRECRACKER=long NEX_TEST_HOSTILE_AGENT=/programs/hostile-agent.mjs${scriptInFirecrackerPlace(command)}`;
}

const driverFiles = ["driver", "egress"].map((name) => `packages/machines/src/firecracker/${name}.test.ts`);
const skip = "unmetRequirement" in place && mayBeMissing ? { skip: unmet } : {};

test("the driver contract holds on Firecracker", {
  ...skip,
  timeout: tries * longTimeoutMs,
}, async (context) => {
  assert.ok(!("unmetRequirement" in place), unmet);
  context.diagnostic(await runTests(place, driverFiles.join(" "), isLong ? [] : shortCases));
});

const long = {
  ...skip,
  ...(isLong ? {} : { skip: "it takes minutes: npm run test:firecracker" }),
  timeout: tries * longTimeoutMs,
};

test("the machine contract holds on Firecracker", long, async (context) => {
  assert.ok(!("unmetRequirement" in place), unmet);
  context.diagnostic(await runTests(place, "test/machines-firecracker.test.ts"));
});

test("microVMs of Firecracker outlive their node", long, async (context) => {
  assert.ok(!("unmetRequirement" in place), unmet);
  context.diagnostic(await runTests(place, "test/adoption-firecracker.test.ts"));
});

test("hostile workloads are held by Firecracker", long, async (context) => {
  assert.ok(!("unmetRequirement" in place), unmet);
  context.diagnostic(await runTests(place, "test/hostile/microvm.test.ts"));
});
