import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { addLimitOptions, type LimitOptions, limitsOf, parseBytes, parsePublish } from "./limit-options.ts";

/** The limits that a command line says. */
function limits(...args: string[]): ReturnType<typeof limitsOf> {
  const command = addLimitOptions(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  return limitsOf(command.parse(args, { from: "user" }).opts<LimitOptions>());
}

for (const [text, bytes] of [
  ["4096", 4_096],
  ["1B", 1],
  ["1k", 1_000],
  ["1KB", 1_000],
  ["1KiB", 1_024],
  ["512MiB", 536_870_912],
  ["512 mib", 536_870_912],
  [" 512mi ", 536_870_912],
  ["1.5GB", 1_500_000_000],
  ["0.5GiB", 536_870_912],
  ["2T", 2_000_000_000_000],
  ["1TiB", 1_099_511_627_776],
] as const) {
  test(`parseBytes reads ${JSON.stringify(text)}`, () => {
    assert.equal(parseBytes(text), bytes);
  });
}

for (const text of [
  "",
  " ",
  "0",
  "0MiB",
  "-1",
  "1e3",
  "MiB",
  "1.MiB",
  ".5MiB",
  "1,5GB",
  "1PiB",
  "1iB",
  "1MiBs",
  "0x10",
  "1 2",
  "NaN",
  "9999999TiB",
]) {
  test(`parseBytes refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseBytes(text), { message: "A size looks like 512MiB, 1.5GB or 4096." });
  });
}

test("parsePublish reads the host's port and the machine's, or the machine's alone, and adds to those before", () => {
  assert.deepEqual(parsePublish("8080:80", []), [{ machinePort: 80, hostPort: 8080 }]);
  assert.deepEqual(parsePublish("80", [{ machinePort: 1 }]), [{ machinePort: 1 }, { machinePort: 80 }]);
  assert.deepEqual(parsePublish("65535:65535/tcp", []), [{ machinePort: 65_535, hostPort: 65_535 }]);
});

for (const text of [
  "",
  ":",
  "80:",
  ":80",
  "0",
  "0:80",
  "80:0",
  "65536",
  "65536:80",
  "80/udp",
  "127.0.0.1:80:80",
  "-1",
  "8e1",
  "http",
]) {
  test(`parsePublish refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parsePublish(text, []), { message: /^A port looks like HOST:MACHINE/ });
  });
}

test("limitsOf has nothing for a command line that says nothing", () => {
  assert.equal(limits(), undefined);
});

test("limitsOf has every option under its name", () => {
  const args =
    "--memory 256MiB --disk 100MB --cpus 0.5 --processes 64 --log-rate 10k --call-time 250ms".split(" ");
  const network =
    "--network egress --allow a.example:443 --allow 192.0.2.1:80 --publish 8080:80 --publish 81".split(" ");
  assert.deepEqual(limits(...args, ...network), {
    memoryBytes: 268_435_456,
    diskBytes: 100_000_000,
    vcpus: 0.5,
    processes: 64,
    logBytesPerSecond: 10_000,
    callTimeMs: 250,
    network: "egress",
    egressAllow: ["a.example:443", "192.0.2.1:80"],
    publish: [{ machinePort: 80, hostPort: 8080 }, { machinePort: 81 }],
  });
});

test("limitsOf asks for egress where something is to be allowed, unless another network is named", () => {
  assert.equal(limits("--allow", "a.example:443")?.network, "egress");
  assert.equal(limits("--allow", "a.example:443", "--network", "nats")?.network, "nats");
});

for (const args of [
  ["--cpus", "0"],
  ["--cpus", "many"],
  ["--cpus", ""],
  ["--processes", "0"],
  ["--processes", "1.5"],
  ["--call-time", "soon"],
  ["--network", "all"],
  ["--memory", "lots"],
]) {
  test(`addLimitOptions refuses ${args.join(" ")}`, () => {
    assert.throws(() => limits(...args), { code: "commander.invalidArgument" });
  });
}
